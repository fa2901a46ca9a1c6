"""A page for the browser: depth of an image or a short video; see ``python app.py --help``."""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import os
import shutil
import socket
import tempfile
import threading
import time
from argparse import Namespace
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import harness
from engine import faults
from errors import UserError
from methods import NAMES
from presets.app import APP
from presets.option import Group, Option
from presets.parser import checked_options, plain_parser
from storage import shelf
from visual.limits import Limits

if TYPE_CHECKING:
    from argparse import ArgumentParser

    import gradio
    import numpy as np

    from hubconf import Predictor
    from visual.result import Result

log = logging.getLogger(__name__)
ABOUT = (
    "Opens a page for the browser: drop an image or a short video, choose a network, see depth, classes and a point "
    "cloud, download them. Nothing is sent anywhere; what was uploaded and made is deleted at the end."
)
USUAL_VIEW = 60.0  # horizontal degrees, where neither photo nor user tells the lens
FARTHEST = 4.0  # times the median distance, of points that are shown
NO_WEBGPU = "<script>delete Navigator.prototype.gpu</script>"  # where it has no device, the viewer complains
DARK = (0.08, 0.08, 0.1, 1.0)  # behind the points: red, green, blue, opacity
SWING = 20.0  # degrees that the point cloud turns to either side
KEPT_SECONDS = 3600  # that files of the page are kept
MOST_WAITING = 20  # in the queue


METHOD = Option("--method", "", "system that files of --model-path are of, where they leave it open", ("", *NAMES))
GROUPS: tuple[Group, ...] = (("method", (METHOD,)), *APP)


def make_parser() -> ArgumentParser:
    """Options of the command."""
    return plain_parser("app.py", ABOUT, GROUPS)


def parse(_: str, argv: list[str]) -> Namespace:
    """Options, checked.

    Raises:
        UserError: for an unknown option, or a value that is not allowed.
    """
    return checked_options(make_parser(), GROUPS, argv)


@dataclass
class Shown:
    """What the page shows of a file; what is not there stays empty.

    said:    a sentence or two
    picture: depth in colours with a bar, of an image
    film:    the same of a video
    classes: image and a mask of every class that is in it, by name
    cloud:   GLB of the point cloud, turning; distance: from which to look at it
    files:   to download
    """

    said: str
    picture: str | None = None
    film: str | None = None
    classes: tuple[np.ndarray, list[tuple[np.ndarray, str]]] | None = None
    cloud: str | None = None
    distance: float = 1.0
    files: list[str] | None = None


@dataclass
class Desk:
    """Files in, what is shown of them out, one after the other; holds the network that was used last.

    networks: what can be chosen, as the page names it, and what `open` takes
    open:     opens one of them
    folder:   for files; each one replaces those of the one before
    ended:    set when the page closes
    """

    networks: dict[str, str]
    open: Callable[[str], Predictor]
    limits: Limits
    folder: Path
    ended: threading.Event = field(default_factory=threading.Event)
    _held: tuple[str, Predictor] | None = None
    _turn: threading.Lock = field(default_factory=threading.Lock)

    def network(self, name: str) -> Predictor:
        """A network, as the page names it.   Raises: UserError when there is none, or it cannot be opened."""
        if name not in self.networks:
            raise UserError("no network of that name is offered here; choose one of the list")
        if self._held is None or self._held[0] != name:
            self._held = None  # memory for the next
            self._held = name, self.open(self.networks[name])
        return self._held[1]

    def show(
        self,
        file: str | None,
        network: str,
        fov: float = 0.0,
        step: int = 1,
        progress: Callable[..., Any] = lambda *_, **__: None,
    ) -> Shown:
        """What the page shows of an uploaded file; of one that cannot be used, or any fault, one sentence."""
        with self._turn:
            try:
                shown = self._shown(file, network, fov or 0.0, int(step or 1), progress)
            except UserError as error:
                shown = Shown(str(error))
            except Exception as error:
                told = faults.sentence(error)
                if not told:
                    log.exception("a fault of app.py; please report it")
                    told = "something went wrong that is no fault of the file; the terminal of app.py says more"
                shown = Shown(told)
        if file:  # nobody knows the folder that it was uploaded to
            shown.said = shown.said.replace(file, Path(file).name)
        shown.said = " ".join(shown.said.split())
        return shown

    def _shown(self, file: str | None, name: str, fov: float, step: int, progress: Callable[..., Any]) -> Shown:
        if not file:
            raise UserError("no file was given; drop an image or a short video above")
        if not 0 <= fov <= 170:
            raise UserError(f"field of view {fov:g}: give degrees up to 170, or 0 for what the photo says")
        path = Path(file)
        self.limits.check_file(path)
        from visual.containers import is_film

        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        if is_film(path):
            return self._film(path, name, fov, step, progress)
        self._check_image(path)
        network, begun = self.network(name), time.perf_counter()
        seen = network(path)
        taken = f"{_about(seen, path)}, in {time.perf_counter() - begun:.1f} s"
        shown = self._details(seen, path, fov)
        shown.said = f"{taken}. {shown.said}"
        shown.picture = str(self.folder / f"{path.stem}_colours.png")
        seen.save(shown.picture)
        return shown

    def _check_image(self, path: Path) -> None:
        from PIL import Image

        from dataloader.files import image_size

        try:
            size = image_size(path)
        except UserError as error:
            if not isinstance(error.__cause__, Image.UnidentifiedImageError):
                raise
            raise UserError(
                f"{path.name}: neither an image nor a video that can be read here; give a PNG, a JPEG or an MP4, say"
            ) from None
        self.limits.check_pixels(path, size)

    def _film(self, path: Path, name: str, fov: float, step: int, progress: Callable[..., Any]) -> Shown:
        """A film of depth; classes, points and files are those of a frame in its middle."""
        from visual.ranges import Smoothed
        from visual.video import FrameReader, VideoWriter, describe, frame_size

        self.limits.check_pixels(path, frame_size(path))
        rate, total = describe(path)
        self.limits.check_seconds(path, total / rate)
        network, reader, begun = self.network(name), FrameReader(path, step), time.perf_counter()
        count, times, kept, largest = -(-reader.total // step), [], None, Smoothed()

        def frames() -> Iterator[np.ndarray]:
            for frame in reader.frames():
                self.limits.check_seconds(path, frame.seconds)
                if self.ended.is_set():
                    raise UserError("the page was closed")
                times.append(frame.seconds)
                progress((len(times), max(count, len(times))), unit="frames")
                yield frame.pixels

        target = self.folder / f"{path.stem}_colours.mp4"
        with VideoWriter(target, reader.rate) as writer:
            for number, seen in enumerate(network.stream(frames())):
                if number <= count // 2:
                    kept, seconds = seen, times[number]
                most = largest(float(seen.found.inv_depth.max()), times[number])
                writer.write(seen.files.draw(seen.job, seen.found, most), times[number])
        if kept is None:
            raise UserError(f"{path.name}: no frame of this video can be decoded; convert it to MP4")
        shown = self._details(kept, path, fov)
        taken = f"{len(times)} frames in {time.perf_counter() - begun:.1f} s"
        shown.said = f"{_about(kept, path)}; {taken}. Points and files are those at {seconds:.1f} s. {shown.said}"
        if fault := reader.fault():
            shown.said += f" {fault}."
        if not writer.modern:
            shown.said += " The film may not play in browsers ('pip install av' lets it be H.264)."
        shown.film = str(target)
        return shown

    def _details(self, seen: Result, path: Path, fov: float) -> Shown:
        """Classes, points and files of one image, and what is to be said of them."""
        seen = _through(seen, fov) if fov else seen
        shown, made = Shown("", classes=_classes(seen)), [self.folder / f"{path.stem}.npz"]
        seen.save(made[0])
        if seen.found.known == "up to scale and shift":
            shown.said = "This network knows no distances: there are no points and no 16-bit depth."
        else:
            if seen.files.lens(seen.job) is None:
                shown.said = f"Nobody says the field of view, so the points are those of {USUAL_VIEW:g} degrees."
                seen = _through(seen, USUAL_VIEW)
            made += [self.folder / f"{path.stem}_depth.png", self.folder / f"{path.stem}.glb"]
            seen.save(made[1], "depth16")
            seen.save(made[2])
            shown.cloud = str(self.folder / f"{path.stem}_turning.glb")
            shown.distance = _write_turning(seen, Path(shown.cloud))
        shown.files = [str(each) for each in made]
        return shown


def _about(seen: Result, path: Path) -> str:
    height, width = seen.image.shape[:2]
    return f"{path.name}: {width}x{height} pixels, {seen.unit}"


def _through(seen: Result, fov: float) -> Result:
    """The same, seen through a lens of so many horizontal degrees."""
    return replace(seen, files=replace(seen.files, camera=((), fov, ())))


def _classes(seen: Result) -> tuple[np.ndarray, list[tuple[np.ndarray, str]]] | None:
    """The image, and a mask (H, W) of every class that is in it, the largest first; None where there are no classes."""
    import numpy as np

    from dataloader.labels import CLASSES

    if seen.labels is None:
        return None
    counts = np.bincount(seen.labels.ravel(), minlength=len(CLASSES))[: len(CLASSES)]
    ids = [number for number in np.argsort(-counts, kind="stable") if counts[number]]
    return seen.image, [((seen.labels == number).astype(np.float32), CLASSES[number][0]) for number in ids]


def _write_turning(seen: Result, target: Path) -> float:
    """A file of points that turn when they are looked at, without the farthest, which would make the others small.

    Returns: how far the photographer was from the middle.
    """
    from storage.atomic import write_whole
    from visual.points import glb, without_farthest

    cloud = without_farthest(seen.files.cloud(seen.job, seen.depth), FARTHEST)
    write_whole(target, glb(cloud, seen.unit, SWING), durable=False)
    return float(cloud.points[:, 2].min() + cloud.points[:, 2].max()) / 2 if len(cloud.points) else 1.0


def build_page(desk: Desk) -> gradio.Blocks:
    """The page."""
    import gradio as gr

    from dataloader.labels import CLASSES

    colours = {name: "#{:02x}{:02x}{:02x}".format(*colour) for name, _, colour in CLASSES}
    with gr.Blocks(title="Depth", analytics_enabled=False, delete_cache=(KEPT_SECONDS, KEPT_SECONDS)) as page:
        gr.Markdown("# Depth of an image or a short video")
        with gr.Row():
            with gr.Column(scale=1, min_width=300):
                file = gr.File(label=f"Image or video: {desk.limits}", height=180, elem_id="file")
                network = gr.Dropdown([*desk.networks], label="Network", elem_id="network")
                unsaid = f"0: as the photo says, else {USUAL_VIEW:g}"
                fov = gr.Number(0, label="Horizontal field of view, degrees", info=unsaid)
                step = gr.Slider(1, 30, 1, step=1, label="Of a video, every n-th frame")
                start = gr.Button("Show depth", variant="primary", elem_id="start")
                said = gr.Textbox(label="What was done", interactive=False, lines=3, elem_id="said")
                files = gr.File(label="Download", file_count="multiple", visible=False, elem_id="files")
            with gr.Column(scale=2, min_width=400):
                picture = gr.Image(label="Depth", buttons=["fullscreen", "download"], elem_id="picture")
                film = gr.Video(label="Depth", visible=False, buttons=["download"], elem_id="film")
                cloud = gr.Model3D(
                    label="Points: drag to turn, scroll to zoom", height=420, clear_color=DARK, elem_id="cloud"
                )
                classes = gr.AnnotatedImage(label="Classes", color_map=colours, visible=False, elem_id="classes")

        bar = gr.Progress()

        def show(file: str | None, network: str, fov: float, step: int, progress: Any = bar) -> list[Any]:
            seen = desk.show(file, network, fov, step, progress)
            return [
                seen.said,
                gr.update(value=seen.picture, visible=seen.film is None),
                gr.update(value=seen.film, visible=seen.film is not None),
                gr.update(value=seen.classes, visible=seen.classes is not None),
                gr.update(value=seen.cloud, camera_position=(None, 85, seen.distance)),
                gr.update(value=seen.files, visible=seen.files is not None),
            ]

        start.click(
            show,
            [file, network, fov, step],
            [said, picture, film, classes, cloud, files],
            show_progress_on=[said, picture, film],
            api_visibility="private",
        )
    return page.queue(default_concurrency_limit=1, max_size=MOST_WAITING, api_open=False)


@contextlib.contextmanager
def served(page: gradio.Blocks, host: str, port: int, most: float) -> Iterator[str]:
    """Inside, the page is open to browsers; gives its address.  `most` bytes of a file are taken.

    Raises:
        UserError: when nothing can listen there.
    """
    try:
        socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET).close()
    except OSError as error:
        raise UserError(f"--host {host} --port {port}: {error.strerror or error}; give another one") from None
    import gradio as gr

    logging.getLogger("httpx").setLevel(logging.WARNING)
    theme = gr.themes.Default(font=["system-ui", "sans-serif"], font_mono=["monospace"])  # fetches none
    try:
        _, address, _ = page.launch(
            server_name=host,
            server_port=port,
            share=False,
            quiet=True,
            prevent_thread_lock=True,
            ssr_mode=False,
            enable_monitoring=False,
            max_file_size=int(most),
            footer_links=[],
            theme=theme,
            head=NO_WEBGPU,
        )
        yield address
    finally:
        page.close(verbose=False)


def serve(args: Namespace) -> None:
    """Serve the page until Ctrl-C.

    Raises:
        UserError: when gradio, a network or the port is not there.
    """
    if not importlib.util.find_spec("gradio"):
        raise UserError("app.py: the page is made with gradio, which is missing here; run 'pip install gradio'")
    runs = args.checkpoint_dir or os.environ.get("IFN_DIR_CHECKPOINT", "")
    if args.checkpoint_dir and not os.path.isdir(runs):
        raise UserError(f"--checkpoint-dir {runs}: no such folder; name the folder of all runs")
    networks = shelf.choices(args.model_path, runs)
    from hubconf import depth

    def open_network(name: str) -> Predictor:
        method = args.method if name in args.model_path else ""
        return depth(name, method, args.sys_device, layout="only", color_bar=True)

    with tempfile.TemporaryDirectory(prefix="app-", ignore_cleanup_errors=True) as folder:
        # Gradio asks nobody for its newest version, keeps uploads where they are deleted, and reaches itself directly.
        os.environ |= {"GRADIO_ANALYTICS_ENABLED": "False", "GRADIO_TEMP_DIR": f"{folder}/uploads"}
        os.environ["NO_PROXY"] = ",".join(filter(None, (os.environ.get("NO_PROXY"), args.host, "localhost")))
        limits = Limits.of(args.max_megabytes, args.max_megapixels, args.max_seconds)
        desk = Desk(networks, open_network, limits, Path(folder, "made"))
        if args.model_path:
            desk.network(next(iter(networks)))  # a fault of what was named is told now
        with served(build_page(desk), args.host, args.port, limits.bytes) as address:
            log.info("%s shows the page; Ctrl-C ends it", address)
            if args.host in ("0.0.0.0", "::"):
                log.warning("--host %s: whoever reaches this machine can upload files", args.host)
            try:
                threading.Event().wait()
            finally:
                desk.ended.set()


if __name__ == "__main__":
    harness.main("app", serve, parse)
