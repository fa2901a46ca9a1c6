"""``python -m docs.notebook``: run docs/tour.ipynb and keep what its cells print and show. Needs no Jupyter."""

from __future__ import annotations

import argparse
import ast
import base64
import contextlib
import io
import json
import sys
from pathlib import Path
from typing import Any

from storage import descriptors

TOUR = Path(__file__).with_name("tour.ipynb")


def executed(notebook: dict[str, Any]) -> dict[str, Any]:
    """A notebook with the outputs of its cells, run one after the other in this process.

    What a cell prints is kept as text, the value of its last line as the picture or the text it has for Jupyter.

    Raises: what a cell raises.
    """
    names: dict[str, Any] = {"__name__": "__main__"}
    cells, number = [], 0
    for cell in notebook["cells"]:
        if cell["cell_type"] != "code":
            cells.append(cell)
            continue
        number += 1
        cells.append(cell | {"execution_count": number, "outputs": _outputs("".join(cell["source"]), names, number)})
    return notebook | {"cells": cells}


def _outputs(source: str, names: dict[str, Any], number: int) -> list[dict[str, Any]]:
    """What Jupyter would keep of a cell, in its form."""
    body = ast.parse(source, f"cell {number}")
    last = body.body.pop() if body.body and isinstance(body.body[-1], ast.Expr) else None
    value, printed = None, io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(body, f"cell {number}", "exec"), names)
        if last is not None:
            value = eval(compile(ast.Expression(last.value), f"cell {number}", "eval"), names)
    text, outputs = printed.getvalue(), []
    if text:
        outputs.append({"name": "stdout", "output_type": "stream", "text": text.splitlines(keepends=True)})
    if value is not None:
        outputs.append(
            {"data": _shown(value), "execution_count": number, "metadata": {}, "output_type": "execute_result"}
        )
    return outputs


def _shown(value: Any) -> dict[str, Any]:
    """A value as a picture where it has one, and as text."""
    picture = getattr(value, "_repr_png_", lambda: None)()
    words = f"<{type(value).__name__}>" if picture else repr(value)  # of a picture the text would hold an address
    shown: dict[str, Any] = {"text/plain": words.splitlines(keepends=True)}
    return shown | ({"image/png": base64.b64encode(picture).decode()} if picture else {})


def main() -> int:
    """Run the notebook and write it; returns the exit code."""
    descriptors.prepare()
    argparse.ArgumentParser(prog="python -m docs.notebook", description=__doc__).parse_args()
    notebook = executed(json.loads(TOUR.read_text(encoding="utf-8")))
    TOUR.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
