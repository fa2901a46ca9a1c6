"""Options of the page: networks to choose from, where it listens, and what may be uploaded. Imports no torch."""

from __future__ import annotations

from .option import Group, Option, images

APP: tuple[Group, ...] = (
    (
        "networks",
        (
            Option(
                "--model-path",
                (),
                "networks to choose from, besides those at hand: checkpoint folders, weight files or names of "
                "docs/models.md; several, with spaces between",
                kind=images,
                several=True,
            ),
            Option(
                "--checkpoint-dir",
                "",
                "folder of all runs, whose newest checkpoints can be chosen; empty: environment IFN_DIR_CHECKPOINT",
            ),
            Option("--sys-device", "auto", "device to compute on", ("auto", "cpu", "cuda", "mps")),
        ),
    ),
    (
        "page",
        (
            Option("--host", "127.0.0.1", "address to listen at; 0.0.0.0: whoever reaches this machine may upload"),
            Option("--port", 7860, "port to listen at", low=1, high=65535),
        ),
    ),
    (
        "uploads",
        (
            Option("--max-megabytes", 100.0, "size of a file", low=0.001, high=4096),
            Option("--max-megapixels", 25.0, "of an image, or of a frame of a video", low=0.001, high=89),
            Option("--max-seconds", 30.0, "length of a video", low=0.1, high=3600),
        ),
    ),
)
"""Groups, in the order of the help."""
