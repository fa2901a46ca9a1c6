"""Images of every kind that is read, and damage to them; as a program, what reading many damaged ones comes to."""

from __future__ import annotations

import io
import random
import struct
import sys
import zlib
from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image

from dataloader.files import PNG_SIGNATURE, image_size, read_counts, read_image, read_labels
from errors import UserError
from tests.dataloader import tiny

SIZE = (48, 64)


def stored(image: Image.Image, kind: str, **options: object) -> bytes:
    content = io.BytesIO()
    image.save(content, kind, **options)
    return content.getvalue()


def kinds() -> dict[str, bytes]:
    """One sound image of every kind."""
    colour = Image.fromarray(tiny.picture(1, SIZE))
    deep = Image.fromarray(np.asarray(colour)[..., 0].astype(np.uint16) * 257)
    turned = Image.Exif()
    turned[0x0112] = 6
    found = {f"PNG {mode}": stored(colour.convert(mode), "PNG") for mode in ("RGB", "RGBA", "L", "LA", "P", "1")}
    found |= {
        "PNG 16 bit": stored(deep, "PNG"),
        "PNG transparent": stored(colour.quantize(16), "PNG", transparency=bytes(8)),
    }
    found |= {f"JPEG {mode}": stored(colour.convert(mode), "JPEG") for mode in ("RGB", "L", "CMYK")}
    found |= {
        "JPEG progressive": stored(colour, "JPEG", progressive=True),
        "JPEG turned": stored(colour, "JPEG", exif=turned),
    }
    return found | {kind: stored(colour, kind) for kind in ("BMP", "GIF", "PPM", "TGA", "WEBP", "JPEG2000")}


def chunk(kind: bytes, body: bytes) -> bytes:
    """A part of a PNG with its checksum."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def resealed(content: bytes) -> bytes:
    """A damaged PNG with checksums that agree with the damage, which then reaches the decoder."""
    parts, place = [PNG_SIGNATURE], len(PNG_SIGNATURE)
    while place + 12 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, place)
        if place + 12 + length > len(content):
            break
        parts.append(chunk(kind, content[place + 8 : place + 8 + length]))
        place += 12 + length
    return b"".join(parts) + content[place:]


def mutant(rng: random.Random, content: bytes) -> bytes:
    """The same with a random injury: cut, changed, added, lost, or an extreme number in its head."""
    changed, place = bytearray(content), rng.randrange(len(content))
    match rng.randrange(5):
        case 0:
            del changed[place:]
        case 1:
            for _ in range(rng.randint(1, 5)):
                changed[rng.randrange(len(changed))] = rng.randrange(256)
        case 2:
            changed[place:place] = rng.randbytes(rng.randint(1, 40))
        case 3:
            del changed[place : place + rng.randint(1, 40)]
        case 4:
            head = rng.randrange(min(200, len(changed) - 4))
            changed[head : head + 4] = rng.choice([b"\xff" * 4, b"\0" * 4, b"\x7f\xff\xff\xff", b"\0\1\0\0"])
    sealed = content.startswith(PNG_SIGNATURE) and rng.random() < 0.7
    return resealed(bytes(changed)) if sealed else bytes(changed)


def main(folder: Path, count: int) -> None:
    """Read `count` damaged images in all ways; prints how many were refused and how many gave an image."""
    rng, images, outcomes = random.Random(8), kinds(), Counter()
    for number in range(count):
        path = folder / f"{number}.png"
        path.write_bytes(mutant(rng, images[rng.choice(list(images))]))
        for read in (read_image, read_labels, read_counts):
            try:
                found = read(path)
            except UserError as fault:
                assert str(fault).startswith(f"{path}: ") and "\n" not in str(fault), fault
                outcomes["refused"] += 1
                continue
            if read is read_image:
                assert found.dtype == np.uint8 and found.shape == (*image_size(path), 3), (number, found.shape)
            outcomes["read"] += 1
        path.unlink()
    print(outcomes["refused"], outcomes["read"])


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
