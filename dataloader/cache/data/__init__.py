"""A folder with the pictures of training, decoded and resized once. Imports no torch until they are read.

A picture is kept as training takes it before anything random happens: RGB or training ids at training size. It belongs
to the content of its file, so that a file that changes gets a new one, and to its size and filter; frames of several
samples, loaders, processes and runs share it. Many pictures lie in one file, a shard, which is written whole or not at
all.
"""

from .fill import provide
from .pictures import CachedPictures, Picture, pictures_of

__all__ = ["CachedPictures", "Picture", "pictures_of", "provide"]
