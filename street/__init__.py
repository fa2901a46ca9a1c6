"""A street that the project renders itself: images, depth, labels, laser scans and poses without any download."""

from .dataset import write_dataset

__all__ = ["write_dataset"]
