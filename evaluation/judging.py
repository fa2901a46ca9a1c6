"""What the evaluation commands do around judging: batches in, pictures and tables out."""

from __future__ import annotations

import logging
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor, nn

from perspective_resample.input_view import InputView, view_of
from storage.lock import changing
from storage.progress import Progress

from .interface import Batch, Everywhere, Found, Loader, alone
from .overview import Entries, overview_files, table
from .tables import METRICS_FILE, report_files

log = logging.getLogger(__name__)
WAITING_PICTURES = 1  # that are still being drawn


class Data(Protocol):
    """Raw batches of one loader, in order."""

    spec: Loader
    first: int
    """Number of its first image within the set."""
    skipped: int
    """Images it left out."""

    def __len__(self) -> int:
        """Number of batches."""

    def __iter__(self) -> Iterator[Any]:
        """The batches."""


@dataclass(frozen=True)
class Evaluation:
    """A network, what to judge it on, and where the results go.

    Attributes:
        loaders: the sets; every rank has its own share of each
        pictures: of how many images of a set there will be one
        precision: makes a context in which networks compute
        stream: raw batches -> batches on the device
        write: puts a content into a file, whole or not at all
        is_first: whether this is rank 0, which writes and prints for all
        gather: see `Everywhere`
        origin: what metrics.json tells of the network and the program
        form: of the table over the sets, one of ``--table-format``; in another form than text it is alone on stdout
    """

    model: nn.Module
    loaders: Sequence[Data]
    folder: Path
    pictures: int
    precision: Callable[[], AbstractContextManager]
    stream: Callable[[Iterable[Any]], Iterable[Batch]]
    write: Callable[[Path, bytes], None]
    is_first: bool = True
    gather: Everywhere = alone
    origin: Mapping[str, Any] = field(default_factory=dict)
    form: str = "text"
    _artist: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1))
    _drawn: deque[Future] = field(default_factory=deque)
    _bars: list[Progress] = field(default_factory=list)

    def predict_depth(self, images: Tensor) -> Any:
        """Depth of images (B, 3, H, W) in [0, 1]; classes are not computed."""
        with self.precision():
            return self.model.predict(images, ("depth",))

    def predict_classes(self, images: Tensor) -> Any:
        """Logits of images (B, 3, H, W) in [0, 1]."""
        with self.precision():
            return self.model.predict(images, ("segmentation",))

    def predict_motion(self, first: Tensor, second: Tensor) -> Tensor:
        """Points of the first camera to the second: two times (B, 3, H, W) -> (B, 4, 4)."""
        with self.precision():
            return self.model.predict_motion(first, second)

    def view(self, dataset: str) -> InputView:
        """What the network wants to see of the images of a data set."""
        return view_of(self.model, dataset)

    def description(self) -> dict[str, Any]:
        """Description of the network for metrics.json; {} where it has none."""
        return self.model.describe() if hasattr(self.model, "describe") else {}

    def batches(self, loader: Data) -> Iterator[Batch]:
        """The loader's batches on the device; tells how far they are."""
        bar = Progress(loader, "batches", loader.spec.domain, len(loader), shown=self.is_first)
        self._bars.append(bar)
        yield from self.stream(bar)

    def everywhere(self, work: Callable[[], Found]) -> list[Found]:
        """What all ranks found, when the last picture of each is written."""

        def finished() -> Found:
            try:
                found = work()
            finally:  # what is said of an error gets a line of its own
                while self._bars:
                    self._bars.pop().close()
            self._await_pictures(0)
            return found

        return self.gather(finished)

    def keep_picture(self, loader: Data, position: int, draw: Callable[[], bytes]) -> None:
        """Write eval_images/<domain>/img_<number>.png beside the network, for the first images of the whole set.

        position: of the image among those of `loader`
        draw:     makes the content of the file
        """
        number = loader.first + position
        if number >= self.pictures:
            return
        path = self.folder / "eval_images" / loader.spec.domain / f"img_{number}.png"
        self._drawn.append(self._artist.submit(lambda: self.write(path, draw())))
        self._await_pictures(WAITING_PICTURES)

    def _await_pictures(self, most: int) -> None:
        """Wait until at most so many pictures are not written yet; raises what went wrong with the others."""
        while len(self._drawn) > most:
            self._drawn.popleft().result()

    def keep_results(
        self,
        loader: Data,
        metrics: Mapping[str, float],
        rows: Sequence[Mapping[str, object]],
        protocol: Mapping[str, object],
        skipped: int = 0,
        **more: object,
    ) -> dict[str, Any]:
        """Put one domain into metrics.json and its rows into metrics_<domain>.csv.

        skipped: images that the metric could not judge; those the loader left out are added.

        Returns: the entry of metrics.json.
        """
        skipped += loader.skipped
        if skipped:
            log.warning("%s: %d images without usable ground truth were skipped", loader.spec.domain, skipped)
        entry = {"metrics": metrics, "images": len(rows), "skipped": skipped, "protocol": protocol} | more
        entry |= {"origin": self.origin} if self.origin else {}
        if not self.is_first:
            return entry
        self.folder.mkdir(parents=True, exist_ok=True)  # may have vanished meanwhile
        with changing(self.folder / METRICS_FILE):  # evaluations at work together may have one run folder
            for path, content in report_files(self.folder, loader.spec.domain, entry, rows).items():
                self.write(path, content)
        return entry

    def keep_overview(self, entries: Entries, purpose: str = "depth") -> None:
        """Write the table over the sets that were judged so far, in all its forms; `purpose` as of `overview_files`."""
        if self.is_first:
            for path, content in overview_files(self.folder, entries, purpose).items():
                self.write(path, content)

    def tell(self, text: str) -> None:
        """Print on rank 0 only: to stdout, or to stderr where stdout is for the table alone."""
        if self.is_first:
            print(text, file=sys.stdout if self.form == "text" else sys.stderr, flush=True)

    def tell_overview(self, entries: Entries) -> None:
        """Print the table over the sets to stdout; as text of several sets, for the lines of one have said all."""
        text = self.form == "text"
        if self.is_first and entries and (len(entries) > 1 or not text):
            print("\n" * text + table(entries, self.form), end="", flush=True)
