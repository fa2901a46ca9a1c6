"""A folder with the answers of a frozen teacher to training images, made once and read in training. Imports no torch.

Training mirrors, resizes and jitters depth images; the teacher sees them neither mirrored nor jittered, so its answer
to an image is always the same. Maps are mirrored with the images, on the device. Source: SGDEM, teacher cache.
"""

from .folder import CacheWriter, TeacherCache
from .images import CachedImage, cached_image, image_root
from .lookup import GUIDES, LoaderMaps, open_cache, open_guides
from .recipe import Recipe, noted_maps, read_recipe

__all__ = [
    "GUIDES",
    "CacheWriter",
    "CachedImage",
    "LoaderMaps",
    "Recipe",
    "TeacherCache",
    "cached_image",
    "image_root",
    "noted_maps",
    "open_cache",
    "open_guides",
    "read_recipe",
]
