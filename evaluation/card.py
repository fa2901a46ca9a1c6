"""The card of a network that is passed on: what it is, what it learned from, how it was judged, under which licence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .overview import WIDE, markdown

TERMS = {
    "kitti": "KITTI is published under CC BY-NC-SA 3.0, for non-commercial use",
    "cityscapes": "Cityscapes has terms of its own, for non-commercial use",
    "nyu": "NYU Depth v2 has terms of its own, see its page",
}
"""Of data sets, by how the names of their loaders begin."""
UNSAID = "not stated; ask whoever passes these weights on"


def card(
    *,
    title: str,
    about: str,
    words: Mapping[str, str],
    loaders: Sequence[str],
    rendered: bool,
    judged: Mapping[str, Any],
    licence: str,
) -> str:
    """A README.md as the Hugging Face hub shows it.

    words:   facts of the file, such as method and unit
    loaders: what it was trained on; () where nobody tells
    rendered: that was the synthetic street in the layouts of these loaders, which nobody else has rights in
    judged:  entries of metrics.json by set
    licence: of the weights; "" where nobody tells
    """
    named = () if rendered else loaders
    terms = dict.fromkeys(term for start, term in TERMS.items() for name in named if name.startswith(start))
    learned = ", ".join(f"`{name}`" for name in loaders)
    entries = {name: {"skipped": 0, **entry} for name, entry in judged.items() if _is_whole(entry)}
    parts = [
        "---",
        "library_name: sgdem",
        "pipeline_tag: depth-estimation",
        "tags: [depth-estimation, monocular-depth]",
        "---",
        "",
        f"# {title}",
        "",
        about,
        "",
        "| | |",
        "| --- | --- |",
        *(f"| {name} | {value} |" for name, value in words.items()),
        "",
        "## Use",
        "",
        "```bash",
        "python inference.py --model-path model.safetensors --image-path photo.jpg --output-path out",
        "```",
        "",
        "From a folder or the hub: `--model-path hf:<folder or id>`.",
        "",
        "## Data",
        "",
        f"Trained on {'images of the synthetic street, laid out as ' if rendered else ''}{learned}."
        if loaders
        else "What it learned from is not noted.",
        "",
        "## Protocol and numbers",
        "",
        markdown(entries, WIDE) if entries else "No evaluation of it is stored.",
        "",
        "## Licence",
        "",
        f"Weights: {licence or UNSAID}. The code is under the MIT licence. {'. '.join(terms)}{'.' if terms else ''}",
    ]
    return "\n".join(parts).rstrip() + "\n"


def _is_whole(entry: Any) -> bool:
    """Whether an entry says all that a table needs; damaged files say anything."""
    tables = ("metrics", "protocol")
    return (
        isinstance(entry, Mapping)
        and all(isinstance(entry.get(each), Mapping) for each in tables)
        and "images" in entry
    )
