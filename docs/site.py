"""What ``mkdocs build`` needs besides docs/: documents of other folders as pages, and files that documents link to.

Links lead where they lead in the repository: to the page of a document, or to a copy of the file below ``files/``. A
link to a folder stays as its words. A link that leads nowhere is left to MkDocs, which complains.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
PAGES = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "benchmarks/README.md": "benchmarks.md",
    "docs/tour.ipynb": "tour.md",
}
"""Pages of the site that are something else in the repository."""
_LINK = re.compile(r"(?P<sign>!?)\[(?P<words>[^\]\[]*)\]\((?P<target>[^)\s#]+)(?P<anchor>#[^)\s]*)?\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the documents that are not in docs/, and what documents link to."""
    from mkdocs.structure.files import File, InclusionLevel

    for source, page in PAGES.items():
        files.append(File.generated(config, page, content=_text(source)))
    for source in [*PAGES, *(f"docs/{file.src_uri}" for file in files.documentation_pages())]:
        if not (ROOT / source).is_file():
            continue
        for link in _LINK.finditer(_text(source)):
            target = _in_repository(source, link["target"])
            copy = _on_site(target)
            if copy.startswith("files/") and (ROOT / target).is_file() and not files.get_file_from_path(copy):
                file = File.generated(config, copy, abs_src_path=str(ROOT / target), inclusion=InclusionLevel.INCLUDED)
                files.append(file)  # though its name begins with a dot
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """The text of a page with links as the site has them."""
    return linked(markdown, _source(page.file.src_uri))


def linked(markdown: str, source: str) -> str:
    """The text of a document with links as the site has them; `source` is its place in the repository."""

    def site_link(link: re.Match[str]) -> str:
        target = link["target"]
        if ":" in target:
            return link[0]
        place = _in_repository(source, target)
        if (ROOT / place).is_dir():
            return link["words"]
        return f"{link['sign']}[{link['words']}]({_on_site(place)}{link['anchor'] or ''})"

    return _LINK.sub(site_link, markdown)


def _source(page: str) -> str:
    return next((source for source, known in PAGES.items() if known == page), f"docs/{page}")


def _in_repository(source: str, target: str) -> str:
    """Where a link of a document leads, from the root of the repository."""
    return os.path.normpath(PurePosixPath(source).parent / target).replace(os.sep, "/")


def _on_site(place: str) -> str:
    """Where a file of the repository is among the sources of the site."""
    return PAGES.get(place) or (place.removeprefix("docs/") if place.startswith("docs/") else f"files/{place}")


def _text(source: str) -> str:
    """A document as Markdown."""
    text = (ROOT / source).read_text(encoding="utf-8")
    return notebook_page(json.loads(text)) if source.endswith(".ipynb") else text


def notebook_page(notebook: dict[str, Any]) -> str:
    """A notebook with its outputs as Markdown."""
    parts = []
    for cell in notebook["cells"]:
        text = "".join(cell["source"])
        parts.append(text if cell["cell_type"] == "markdown" else f"```python\n{text}\n```")
        for output in cell.get("outputs", ()):
            if "text" in output:
                parts.append(f"```text\n{''.join(output['text']).rstrip()}\n```")
            elif png := output["data"].get("image/png"):
                parts.append(f"![What the cell above shows](data:image/png;base64,{png.strip()})")
    return "\n\n".join(parts) + "\n"
