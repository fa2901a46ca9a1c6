"""The data doctor: says whether a loader finds what it needs, and what looks wrong: ``python -m dataloader.check``."""
