"""``python -m tests.thinly SCRIPT WORDS...``: a command with thin networks, in a new interpreter."""

from __future__ import annotations

import runpy
import sys

from tests.thin import make_thin

if __name__ == "__main__":
    make_thin()
    sys.argv = sys.argv[1:]
    runpy.run_path(sys.argv[0], run_name="__main__")
