"""Reading images, labels and depth; a damaged file is named, never half shown.

Pillow decodes everything: unlike OpenCV it refuses a JPEG that was cut off, and for KITTI frames it is as fast.
"""

from __future__ import annotations

import errno
import hashlib
import importlib.util
import io
import logging
import os
import stat
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image

from errors import UserError
from storage.atomic import write_whole

from . import arrays, nyu_files, parts, velodyne
from .arrays import MOST_PIXELS
from .calibration import baseline_times_focal, focal_length
from .labels import to_train_ids
from .listing import on_disk
from .map_files import open_maps
from .matlab import read_numbers
from .rgb import to_rgb
from .samples import DepthSource

log = logging.getLogger(__name__)

STEREO_BASELINE = 0.54  # metres between the KITTI colour cameras, the nominal value all published maps use
CITYSCAPES_BASELINE_TIMES_FOCAL = 0.209313 * 2262.52
COUNTS_PER_METRE = 256
LASER_GRID = ("Position3DGrid", 3)  # variable of Make3D and which of its channels is the depth
FORMATS = ["PNG", "JPEG", "BMP", "GIF", "PPM", "WEBP", "JPEG2000", "TIFF", "DIB", "TGA"]
"""What is decoded; Pillow knows more, among them PostScript, which it hands to an interpreter."""
if importlib.util.find_spec("pillow_heif"):  # an extra, for photos of telephones
    importlib.import_module("pillow_heif").register_heif_opener()
    FORMATS.append("HEIF")
FETCH = "fetch it again"  # what helps where a file of a data set is damaged
MOST_BYTES = 1 << 30
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
TURNS = {  # EXIF orientation -> how to turn the stored picture upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
SIDEWAYS = tuple(TURNS[orientation] for orientation in (5, 6, 7, 8))
DECODE_FAULTS = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    EOFError,
    IndexError,
    OverflowError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)


def open_at_once(path: str | Path, flags: int) -> int:
    """Opener for `open` that does not wait for a writer where a pipe has the name of a file."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))  # Windows has no such pipes


def read_bytes(path: str | Path, remedy: str = FETCH) -> bytes:
    """Content of a file; `remedy` where it is damaged.

    Raises:
        UserError: when it is missing, empty, no ordinary file, or longer than any image.
    """
    try:
        with open(path, "rb", opener=open_at_once) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise UserError(f"{path}: not an ordinary file; check the data folder")
            if status.st_size > MOST_BYTES:
                raise UserError(f"{path}: {status.st_size} bytes are more than any image needs; check the file")
            content = file.read()
    except FileNotFoundError as fault:
        raise UserError(f"{path}: no such file; check the data folder with python -m dataloader.check") from fault
    except OSError as fault:
        if fault.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM):  # no fault of the file
            raise
        raise UserError(f"{path}: cannot be read ({fault.strerror}); check the file") from fault
    if not content:
        raise UserError(f"{path}: the file is empty; {remedy}")
    return content


def open_stored(path: str | Path, upright: bool = False, remedy: str = FETCH) -> Image.Image:
    """The decoded image in its own colour mode, turned as its EXIF data ask when `upright`.

    remedy: what helps where the file is damaged

    Raises:
        UserError: when the file is missing, empty, damaged, cut off, not an image, or has more than `MOST_PIXELS`.
    """
    content = read_bytes(path, remedy)
    try:
        if content.startswith(PNG_SIGNATURE):
            _check_png(content)
        image = Image.open(io.BytesIO(content), formats=FORMATS)
        _check_size(path, image)
        turn = _turn(image) if upright else None
        image.load()
    except Image.DecompressionBombError as fault:
        raise _too_large(path) from fault
    except DECODE_FAULTS as fault:
        # Pillow's message for an unknown format holds the address of the buffer instead of a reason.
        reason = "not an image" if isinstance(fault, Image.UnidentifiedImageError) else str(fault)
        raise UserError(
            f"{path}: cannot decode ({reason}, {len(content)} bytes starting with {content[:8]!r}); {remedy}"
        ) from fault
    return image if turn is None else image.transpose(turn)


def _check_size(path: str | Path, image: Image.Image) -> None:
    if image.width * image.height > MOST_PIXELS:
        raise _too_large(path)


def _too_large(path: str | Path) -> UserError:
    return UserError(f"{path}: an image of more than {MOST_PIXELS} pixels, which would fill the memory; scale it down")


def _check_png(content: bytes) -> None:
    """Compares the checksums that every PNG carries: Pillow skips them and shows wrong pixels for a flipped bit.

    Raises:
        ValueError: when one differs or the file ends early.
    """
    place, view = len(PNG_SIGNATURE), memoryview(content)
    while place + 12 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, place)
        end = place + 8 + length
        if end + 4 > len(content):
            break
        critical = kind[0] & 32 == 0  # upper case
        if critical and zlib.crc32(view[place + 4 : end]) != struct.unpack_from(">I", content, end)[0]:
            raise ValueError(f"wrong checksum at byte {place}")
        if kind == b"IEND":
            return
        place = end + 4
    raise ValueError("the file ends early")


def _turn(image: Image.Image) -> Image.Transpose | None:
    """How to turn an opened image upright; from the head of the file, so that it need not be decoded."""
    if image.format != "JPEG" and "exif" not in image.info:
        return None
    try:
        return TURNS.get(image.getexif().get(ExifTags.Base.Orientation))
    except DECODE_FAULTS:  # damaged EXIF data say nothing about the picture
        return None


def image_size(path: str | Path) -> tuple[int, int]:
    """(height, width) of the upright picture, from the head of the file alone.

    Raises:
        UserError: when the file is missing, not an image, or has more than `MOST_PIXELS`.
    """
    if nyu_files.is_member(path):
        return nyu_files.size_of(str(path))
    if part := parts.part_of(str(path)):
        return parts.size_of(part, image_size(part.file))
    try:
        with open(path, "rb", opener=open_at_once) as file, Image.open(file, formats=FORMATS) as image:
            _check_size(path, image)
            width, height = image.size
            turn = _turn(image)
    except Image.DecompressionBombError as fault:
        raise _too_large(path) from fault
    except DECODE_FAULTS as fault:
        raise UserError(f"{path}: cannot read the image size ({type(fault).__name__}); check the file") from fault
    return (width, height) if turn in SIDEWAYS else (height, width)


def open_rgb(path: str | Path, remedy: str = FETCH) -> Image.Image:
    """A picture file as an upright 8-bit Pillow RGB image; 16-bit values are divided by 256, transparency is dropped.

    Raises:
        UserError: as `open_stored` and `to_rgb`.
    """
    if nyu_files.is_member(path):
        return nyu_files.read_picture(str(path))
    if part := parts.part_of(str(path)):
        return parts.take(part, open_rgb)
    return to_rgb(open_stored(path, upright=True, remedy=remedy), path)


def read_image(path: str | Path, remedy: str = FETCH) -> np.ndarray:
    """A picture file of any colour mode; `remedy` where it is damaged.

    Returns: (H, W, 3) uint8 RGB.

    Raises:
        UserError: when the file is missing, empty, damaged, cut off or not an image.
    """
    return np.asarray(open_rgb(path, remedy))


def read_labels(path: str | Path, mode: str = "fromid") -> np.ndarray:
    """A label file as training ids; a palette image gives its indices.

    Returns: (H, W) uint8, 0..18 or 255.

    Raises:
        UserError: when the file cannot be decoded or does not fit the mode.
    """
    stored = np.asarray(open_stored(path))
    if stored.dtype != np.uint8:
        raise UserError(f"{path}: {stored.dtype} values are not 8-bit label ids; use the *_labelIds.png files")
    return to_train_ids(stored[..., :3] if stored.ndim == 3 else stored, mode, where=str(path))


def read_counts(path: str | Path) -> np.ndarray:
    """A 16-bit grey PNG, as stored.

    Returns: (H, W) uint16.

    Raises:
        UserError: when it cannot be decoded or has another depth than 16 bit.
    """
    stored = np.asarray(open_stored(path))
    if stored.ndim != 2 or stored.dtype.itemsize < 2 or stored.dtype.kind not in "ui":
        raise UserError(
            f"{path}: {stored.dtype} of shape {stored.shape} is not a 16-bit grey PNG; export depth as 16 bit"
        )
    if stored.dtype.itemsize > 2 and not (stored.min() >= 0 and stored.max() < 1 << 16):
        raise UserError(
            f"{path}: values from {stored.min()} to {stored.max()} do not fit into 16 bit; export depth as 16 bit"
        )
    return stored.astype(np.uint16)


def counts_to_metres(counts: np.ndarray, mode: str) -> np.ndarray:
    """What a depth PNG stores -> metres, by the depth mode of its data set.

    Shapes:  counts (H, W) uint16    Returns: (H, W) float32, 0 = no measurement

    Raises:
        UserError: when the mode is unknown.
    """
    value = counts.astype(np.float32)
    match mode:
        case "uint_16":
            return value / np.float32(256)
        case "normalized_100":
            return value / np.float32(100)
        case "uint_16_subtract_one":
            known = value > 1
            disparity = np.where(known, value - 1, 1) / 256
            return np.where(known, CITYSCAPES_BASELINE_TIMES_FOCAL / disparity, value).astype(np.float32)
    raise UserError(f"depth mode {mode!r} is unknown; choose uint_16, uint_16_subtract_one or normalized_100")


def metres_to_counts(depth: np.ndarray) -> np.ndarray:
    """Metres -> 1/256 m truncated, uint16; depths that do not fit become 0, as there is no measurement."""
    counts = np.trunc(depth * COUNTS_PER_METRE)
    return np.where((counts >= 0) & (counts < 1 << 16), counts, 0).astype(np.uint16)


def read_depth(source: DepthSource) -> np.ndarray:
    """Ground truth of one image.

    Returns: (H, W) float32 metres, 0 = no measurement.

    Raises:
        UserError: when a file is missing, damaged or of another kind.
    """
    match source.kind:
        case "map":
            counts = read_counts(source.path)
            return (counts * source.unit).astype(np.float32) if source.unit else counts_to_metres(counts, source.mode)
        case "array":
            return _read_array(source.path, source.unit)
        case "velodyne" if source.mode == "forward":
            matrix, size = velodyne.scanner_to_image(Path(source.calibration), source.camera)
            return velodyne.project_forward(velodyne.read_scan(Path(source.path)), matrix, size)
        case "velodyne":
            return counts_to_metres(_scan_counts(source), "uint_16")
        case "lidar":
            matrix = np.reshape(source.matrix, (3, 4))
            return velodyne.project_cloud(velodyne.read_cloud(Path(source.path)), matrix, source.size)
        case "stereo":
            return _stereo_depth(source)
        case "disparity":
            return counts_to_metres(_disparity_counts(source), "uint_16")
        case "hdf5":
            return nyu_files.read_depth(source.path)
        case "laser grid":
            return _read_grid(source.path)
        case "given":
            return open_maps(source.path).read(source.number)


def _read_array(path: str, unit: float) -> np.ndarray:
    try:
        depth = arrays.read_npy(path)
    except arrays.FAULTS as fault:
        raise UserError(f"{path}: cannot read the array ({fault}); save float metres with numpy.save") from fault
    if depth.ndim != 2 or depth.dtype.kind not in "fiu":
        raise UserError(f"{path}: {depth.dtype} of shape {depth.shape} is not a depth map (H, W) in metres")
    if not unit and depth.dtype.kind != "f":
        raise UserError(
            f"{path}: {depth.dtype} counts, and nothing says how many metres one of them is; pass --data-depth-unit "
            "(0.001 for millimetres), or save float metres"
        )
    metres = arrays.measured(depth)
    return (metres * unit if unit else metres).astype(np.float32)


def _stereo_depth(source: DepthSource) -> np.ndarray:
    """Depth of Cityscapes from its disparity, (p - 1) / 256 pixels; 0 where p says that there is none or no end."""
    counts = read_counts(source.path).astype(np.float64)
    factor = baseline_times_focal(Path(source.calibration)) if source.calibration else CITYSCAPES_BASELINE_TIMES_FOCAL
    known = counts > 1
    return np.where(known, factor / (np.where(known, counts - 1, 1) / 256), 0).astype(np.float32)


def _read_grid(path: str) -> np.ndarray:
    name, channel = LASER_GRID
    grid = read_numbers(path, name, 3)
    if grid.shape[2] <= channel:
        raise UserError(f"{path}: {name} has {grid.shape[2]} channels, depth is number {channel + 1}; fetch it again")
    return arrays.measured(grid[..., channel]).astype(np.float32)


def _disparity_counts(source: DepthSource) -> np.ndarray:
    disparity = read_counts(source.path) / 256
    focal = focal_length(Path(source.calibration), source.camera, rectified=source.mode != "released")
    known = disparity > 0
    return metres_to_counts(np.where(known, STEREO_BASELINE * focal / (disparity + 1e-11), 0))


def _scan_counts(source: DepthSource) -> np.ndarray:
    """Projected scan in 1/256 m, from the cache where it holds the result of this very scan and calibration."""
    cached = _cache_file(source) if source.cache else None
    if cached is not None and cached.is_file():
        try:
            return read_counts(cached)
        except UserError as fault:
            log.warning("%s; projecting the scan again", fault)
    matrix, size = velodyne.scanner_to_image(Path(source.calibration), source.camera)
    counts = metres_to_counts(velodyne.project(velodyne.read_scan(Path(source.path)), matrix, size))
    if cached is not None:
        _keep(cached, counts)
    return counts


def _cache_file(source: DepthSource) -> Path | None:
    """Name of the cached map: it changes with the scan and the calibration, so it is never out of date."""
    folder = Path(source.calibration)
    state = hashlib.sha256()
    try:
        for path in (Path(source.path), folder / velodyne.CAMERA_FILE, folder / velodyne.SCANNER_FILE):
            stat = on_disk(path).stat()
            state.update(f"{stat.st_size} {stat.st_mtime_ns};".encode())
    except OSError:
        return None  # the projection will say which file is missing
    return Path(f"{source.cache}_{state.hexdigest()[:8]}.png")


def _keep(path: Path, counts: np.ndarray) -> None:
    content = io.BytesIO()
    Image.fromarray(counts).save(content, "PNG", compress_level=1)
    try:
        write_whole(path, content.getvalue())
    except OSError as fault:  # a cache that cannot be kept costs time, not results
        log.debug("%s: depth map not kept (%s)", path, fault)
