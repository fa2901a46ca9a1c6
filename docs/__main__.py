"""``python -m docs``: rewrite the generated parts of README.md and docs/*.md; tells which files changed."""

from __future__ import annotations

import argparse
import sys

from errors import UserError
from storage import descriptors

from .generate import ROOT, documents, renewed


def main() -> int:
    """Rewrite what is stale; returns the exit code."""
    descriptors.prepare()
    argparse.ArgumentParser(prog="python -m docs", description=__doc__).parse_args()
    try:
        for path in documents():
            text = path.read_text(encoding="utf-8")
            new = renewed(text, str(path.relative_to(ROOT)))
            if new != text:
                path.write_text(new, encoding="utf-8")
                print(f"{path.relative_to(ROOT)}: rewritten")
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
