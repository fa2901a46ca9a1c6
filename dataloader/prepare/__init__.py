"""Commands that put data where the loaders look for it: ``python -m dataloader.prepare``."""
