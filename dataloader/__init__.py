"""From files on disk to batches: which loaders exist, where their files lie, and how they become tensors."""
