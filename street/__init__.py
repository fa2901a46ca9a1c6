"""A street that the project renders itself: images, depth, labels, laser scans and poses without any download."""

from .dataset import write_dataset
from .pictures import pictures

__all__ = ["pictures", "write_dataset"]
