"""The evaluation commands from the command line to the files they leave."""

from __future__ import annotations

import csv
import hashlib
import json
import re
import shlex
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

import arguments
import eval_depth
import eval_pose
import eval_segmentation
from errors import UserError
from evaluation.depth import METRICS
from evaluation.overview import table
from evaluation.protocols import DEPTH_PROTOCOLS
from tests import commands, real_data
from tests.dataloader import test_cityscapes_depth, test_ddad, test_diml, test_kitti_eigen, tiny
from tests.dataloader.test_kitti_2015 import download, published

pytestmark = pytest.mark.usefixtures("thin")

HEIGHT, WIDTH = 64, 128
SCRIPTS = {"depth": eval_depth, "segmentation": eval_segmentation, "pose": eval_pose}
LOADERS = {
    "depth": "kitti_zhou_test,kitti_kitti_validation",
    "segmentation": "cityscapes_validation",
    "pose": "kitti_odom09_validation",
}


@pytest.fixture(scope="module")
def place(tmp_path_factory, street) -> SimpleNamespace:
    """A small street and an untrained network."""
    runs = tmp_path_factory.mktemp("evaluation") / "runs"
    commands.write_checkpoint(runs / "start")
    return SimpleNamespace(data=street, runs=runs)


def flags(place: SimpleNamespace, purpose: str, *more: object) -> list[str]:
    size = [f"--{purpose}-validation-resize-height", HEIGHT, f"--{purpose}-validation-resize-width", WIDTH]
    return [
        *map(
            str,
            (
                "--method",
                "sgdepth",
                "--sys-cpu",
                "--sys-num-workers",
                0,
                "--dataset-dir",
                place.data,
                "--checkpoint-dir",
                place.runs,
                "--model-load",
                "start",
                "--model-name",
                "judged",
                "--eval-num-images",
                2,
                *size,
                f"--{purpose}-validation-loaders",
                LOADERS[purpose],
                *more,
            ),
        )
    ]


@pytest.fixture(scope="module")
def judged(place, run) -> dict[str, str]:
    """What the three commands print, run one after the other into one run folder."""
    printed = {}
    for purpose in SCRIPTS:
        done = run(f"eval_{purpose}.py", *flags(place, purpose))
        assert done.returncode == 0, done.stderr
        printed[purpose] = done.stdout
    return printed


def run_folder(place: SimpleNamespace) -> Path:
    return place.runs / "sgdepth_eccv_test" / "judged"


def read(place: SimpleNamespace) -> dict:
    return json.loads((run_folder(place) / "metrics.json").read_text())


def first_picture(place: SimpleNamespace, domain: str, name: str = "judged", number: int = 0) -> Path:
    return run_folder(place).with_name(name) / "eval_images" / domain / f"img_{number}.png"


def rows(place: SimpleNamespace, domain: str, name: str = "judged") -> list[dict[str, str]]:
    path = run_folder(place).with_name(name) / f"metrics_{domain}.csv"
    return list(csv.DictReader(path.read_text().splitlines()))


@pytest.mark.parametrize("purpose", ["depth", "pose"])
def test_several_processes_give_the_numbers_and_pictures_of_one(place, judged, purpose, warm):
    words = flags(place, purpose, "--model-name", f"shared_{purpose}")
    both = commands.Ranks.start(warm, f"eval_{purpose}.py", *words)
    assert both.wait() == [0, 0], both.stderr
    alone, shared = run_folder(place), run_folder(place).with_name(f"shared_{purpose}")
    whole = {domain: entry for domain, entry in read(place).items() if domain.endswith(purpose)}
    found = json.loads((shared / "metrics.json").read_text())
    for entry in (*whole.values(), *found.values()):
        assert purpose in entry["origin"].pop("command")
    assert found == whole
    assert [line for line in both.stdout.splitlines() if "0." in line] == [
        line for line in judged[purpose].splitlines() if "0." in line
    ]
    files = [path.relative_to(shared) for path in shared.rglob("*") if path.suffix in (".csv", ".png")]
    assert len(files) == {"depth": 2 + 1 + 2 * 2, "pose": 2}[purpose]
    assert all((shared / name).read_bytes() == (alone / name).read_bytes() for name in files)


def test_metrics_file_holds_every_domain_with_the_promised_keys(place, judged):
    found = read(place)
    keys = {
        "kitti_zhou_test_depth": {*METRICS, "ratio_median", "ratio_std"},
        "kitti_kitti_val_depth": {*METRICS, "ratio_median", "ratio_std"},
        "cityscapes_val_seg": {"miou", "accuracy"},
        "kitti_odom09_val_pose": {"ate_mean", "ate_std"},
    }
    assert {domain: set(entry["metrics"]) for domain, entry in found.items()} == keys
    for domain, entry in found.items():
        assert entry["images"] > 0 and entry["skipped"] == 0
        assert {"ground_truth", "crop", "range", "scaling", "size", "flip"} <= set(entry["protocol"])
        assert entry["protocol"]["size"] == [HEIGHT, WIDTH]
        assert len(rows(place, domain)) == entry["images"] - (4 if "pose" in domain else 0)
    for domain, name, crop in (("kitti_zhou_test", "kitti_zhou", "garg"), ("kitti_kitti_val", "kitti_kitti", "none")):
        protocol = found[f"{domain}_depth"]["protocol"]
        assert (protocol["name"], protocol["crop"], protocol["ground_truth"]) == (name, crop, "raw")
    assert "Protocol" not in judged["depth"]  # each set is judged as usual


def test_depth_prints_the_published_lines_per_domain(place, judged):
    found = read(place)
    lines = [line for line in judged["depth"].splitlines() if re.match(r" Scaling|&| +abs_rel", line)]
    assert len(lines) == 6
    for start, domain in ((0, "kitti_zhou_test_depth"), (3, "kitti_kitti_val_depth")):
        metrics = found[domain]["metrics"]
        med, std = f"{metrics['ratio_median']:.3f}", f"{metrics['ratio_std']:.3f}"
        assert lines[start] == f" Scaling ratios | med: {med} | std: {std}"
        assert lines[start + 1].split(" | ")[:-1] == ["  " + f"{METRICS[0]:>8}", *(f"{m:>8}" for m in METRICS[1:])]
        assert [float(word) for word in re.findall(r"& *([\d.]+)  ", lines[start + 2])] == [
            float(f"{metrics[name]:.3f}") for name in METRICS
        ]


def test_several_depth_sets_end_in_one_table(place, judged):
    found = {domain: entry for domain, entry in read(place).items() if domain.endswith("_depth")}
    header, *lines = judged["depth"].splitlines()[-3:]
    assert header.startswith("set ") and [line.split(" | ")[0].strip() for line in lines] == [*found]
    assert [line.split(" | ")[1].strip() for line in lines] == ["kitti_zhou", "kitti_kitti"]
    table = rows(place, "table")
    assert [row["set"] for row in table] == [*found]
    for row, entry in zip(table, found.values(), strict=True):
        assert {name: float(row[name]) for name in entry["metrics"]} == entry["metrics"]
        assert (int(row["images"]), row["protocol"]) == (entry["images"], entry["protocol"]["name"])
    assert {path.name for path in run_folder(place).glob("metrics_table.*")} == {
        f"metrics_table.{ending}" for ending in ("csv", "md", "tex")
    }


def test_metrics_file_says_where_the_numbers_come_from(place, judged):
    for domain, entry in read(place).items():
        made = entry["origin"]
        assert made["checkpoint"] == str(place.runs / "start") and made["files"] == ["model.pth"]
        assert made["sha256"] == hashlib.sha256((place.runs / "start/model.pth").read_bytes()).hexdigest()
        assert set(made["versions"]) == {"python", "torch", "numpy", "sgdem"}
        purpose = {"depth": "depth", "seg": "segmentation", "pose": "pose"}[domain.rpartition("_")[2]]
        assert shlex.split(made["command"]) == ["python", f"eval_{purpose}.py", *flags(place, purpose)]


@pytest.mark.parametrize("purpose", SCRIPTS)
def test_one_line_above_the_numbers_says_what_they_are_of(place, judged, purpose):
    lines = judged[purpose].splitlines()
    for loader in LOADERS[purpose].split(","):
        (line,) = (number for number, line in enumerate(lines) if line.startswith(f" Judged | {loader}"))
        assert "truth " in lines[line] and f"network input {HEIGHT}x{WIDTH}" in lines[line]
        assert re.search(r"0\.\d{3}", " ".join(lines[line + 1 : line + 5]))


@pytest.mark.parametrize("form", ["json", "latex"])
def test_a_table_in_another_form_is_alone_on_stdout(place, judged, form, run):
    more = ("--depth-validation-loaders", "kitti_zhou_test", "--model-name", form, "--eval-num-images", 0)
    done = run("eval_depth.py", *flags(place, "depth", *more, "--table-format", form))
    kept = json.loads((run_folder(place).with_name(form) / "metrics.json").read_text())
    assert done.returncode == 0 and done.stdout == table(kept, form)
    assert " Judged | kitti_zhou_test" in done.stderr and "abs_rel" in done.stderr


def test_mirrored_images_are_averaged_on_request_and_that_is_said(place, judged, capsys):
    common = ("--depth-validation-loaders", "kitti_zhou_test", "--model-name", "both", "--eval-num-images", 0)
    eval_depth.evaluate(arguments.parse("eval_depth", flags(place, "depth", *common, "--post-process")))
    name = "kitti_zhou with post-processing"
    assert f" Protocol | {name} (usual for kitti_zhou_test: kitti_zhou)" in capsys.readouterr().out
    entry = json.loads((run_folder(place).with_name("both") / "metrics.json").read_text())["kitti_zhou_test_depth"]
    usual = read(place)["kitti_zhou_test_depth"]
    assert (entry["protocol"]["flip"], usual["protocol"]["flip"]) == (True, False)
    assert entry["metrics"] != usual["metrics"]
    assert [row["flip"] for row in rows(place, "table", "both")] == ["yes"]


def test_depth_metrics_are_the_mean_of_the_rows(place, judged):
    table = rows(place, "kitti_zhou_test_depth")
    metrics = read(place)["kitti_zhou_test_depth"]["metrics"]
    for name in METRICS:
        assert np.mean([float(row[name]) for row in table]) == pytest.approx(metrics[name], rel=1e-12)
    assert len({row["name"] for row in table}) == len(table)
    assert 0.05 < metrics["abs_rel"] < 5 and 0 <= metrics["a1"] <= metrics["a2"] <= metrics["a3"] <= 1


def test_segmentation_and_pose_print_the_published_lines(place, judged):
    found = read(place)
    metrics = found["cityscapes_val_seg"]["metrics"]
    assert judged["segmentation"].splitlines()[-2:] == [
        "eval_name    | domain               |     miou | accuracy",
        f"judged       | cityscapes_val_seg   | {metrics['miou']:8.3f} | {metrics['accuracy']:8.3f}",
    ]
    metrics = found["kitti_odom09_val_pose"]["metrics"]
    last = judged["pose"].splitlines()[-1]
    assert last == f"Trajectory error: {metrics['ate_mean']:.3f}, std: {metrics['ate_std']:.3f}"


def test_pictures_have_their_published_names_and_begin_with_the_image_at_native_size(place, judged):
    pictures = run_folder(place) / "eval_images"
    for domain in ("kitti_zhou_test_depth", "kitti_kitti_val_depth"):
        assert {path.name for path in (pictures / domain).iterdir()} == {"img_0.png", "img_1.png"}
        width, height = Image.open(first_picture(place, domain)).size
        assert width == WIDTH and height > 4 * HEIGHT
    picture = np.asarray(Image.open(first_picture(place, "cityscapes_val_seg")))
    image = np.asarray(Image.open(min((place.data / "cityscapes/leftImg8bit/val").rglob("*.png"))))
    assert picture.shape[1] == image.shape[1] and (picture[: len(image)] == image).all()


def test_batches_change_no_number_and_other_domains_stay(place, judged):
    before = read(place)
    eval_depth.evaluate(
        arguments.parse(
            "eval_depth",
            flags(
                place,
                "depth",
                "--depth-validation-loaders",
                "kitti_zhou_test",
                "--depth-validation-batch-size",
                3,
                "--eval-num-images",
                0,
            ),
        )
    )
    after = read(place)
    assert set(after) == set(before)
    changed = after.pop("kitti_zhou_test_depth")["metrics"]
    expected = before.pop("kitti_zhou_test_depth")["metrics"]
    assert changed == pytest.approx(expected, rel=1e-3) and after == before


def test_fixed_scaling_and_the_first_quarter(place, judged, capsys):
    common = ("--depth-validation-loaders", "kitti_zhou_test", "--model-name", "fixed", "--eval-num-images", 0)
    eval_depth.evaluate(
        arguments.parse("eval_depth", flags(place, "depth", *common, "--depth-validation-fixed-scaling", "25"))
    )
    assert " Scaling ratios | med: 25.000 | std: 0.000" in capsys.readouterr().out
    entry = json.loads((run_folder(place).with_name("fixed") / "metrics.json").read_text())["kitti_zhou_test_depth"]
    assert entry["protocol"]["scaling"] == "fixed 25"
    eval_depth.evaluate(arguments.parse("eval_depth", flags(place, "depth", *common, "--depth-ratio-on-validation")))
    assert " std: 0.000" in capsys.readouterr().out  # a quarter of four images is one
    entry = json.loads((run_folder(place).with_name("fixed") / "metrics.json").read_text())["kitti_zhou_test_depth"]
    expected = read(place)["kitti_zhou_test_depth"]["metrics"]
    assert entry["metrics"]["abs_rel"] == pytest.approx(expected["abs_rel"], rel=1e-3)


@pytest.mark.parametrize(
    ("words", "columns"),
    [
        ((), ["fp32", "bf16"]),
        (("--train-precision", "bf16"), ["fp32", "bf16"]),
        (("--sys-compile",), ["fp32", "fp32, compiled"]),
    ],
)
def test_the_change_of_every_metric_is_printed_on_request(place, judged, capsys, monkeypatch, words, columns):
    monkeypatch.setattr("engine.device.require_compiler", lambda *_: None)
    monkeypatch.setattr(torch.nn.Module, "compile", lambda self: None)  # the compiler itself takes minutes
    common = ("--depth-validation-loaders", "kitti_zhou_test", "--model-name", "report", "--eval-num-images", 0)
    eval_depth.evaluate(arguments.parse("eval_depth", flags(place, "depth", *common, "--precision-report", *words)))
    lines = [[cell.strip() for cell in line.split("|")] for line in capsys.readouterr().out.splitlines()]
    first = next(number for number, line in enumerate(lines) if line[0] == "metric")
    table = {name: values for name, *values in lines[first : first + 8]}
    assert table.pop("metric") == [*columns, "change", "relative"] and [*table] == [*METRICS]
    usual = read(place)["kitti_zhou_test_depth"]["metrics"]
    kept = json.loads((run_folder(place).with_name("report") / "metrics.json").read_text())["kitti_zhou_test_depth"]
    for name, (exact, other, change, _) in table.items():
        assert float(exact) == pytest.approx(usual[name], abs=1e-5)
        assert float(change) == pytest.approx(float(other) - float(exact), abs=2e-5)
        asked = other if "bf16" in words else exact
        assert kept["metrics"][name] == pytest.approx(float(asked), abs=1e-5)
    changed = any(float(values[2]) for values in table.values())
    assert changed == ("bf16" in columns)


@pytest.mark.parametrize("name", DEPTH_PROTOCOLS)
def test_every_protocol_can_be_asked_for(place, name):
    assert arguments.parse("eval_depth", flags(place, "depth", "--depth-protocol", name)).depth_protocol == name


def test_another_protocol_is_named_and_used(place, judged, capsys):
    common = ("--depth-validation-loaders", "kitti_zhou_test", "--model-name", "other", "--eval-num-images", 0)
    eval_depth.evaluate(
        arguments.parse("eval_depth", flags(place, "depth", *common, "--depth-protocol", "kitti_kitti"))
    )
    lines = capsys.readouterr().out.splitlines()
    told = lines.index(" Protocol | kitti_kitti (usual for kitti_zhou_test: kitti_zhou)")
    assert lines[told + 1].startswith(" Scaling ratios")
    entry = json.loads((run_folder(place).with_name("other") / "metrics.json").read_text())["kitti_zhou_test_depth"]
    assert (entry["protocol"]["name"], entry["protocol"]["crop"]) == ("kitti_kitti", "none")
    assert entry["metrics"] != read(place)["kitti_zhou_test_depth"]["metrics"]


def test_options_that_change_the_protocol_are_named_and_used(place, judged, tmp_path, capsys, caplog):
    changed = ("--depth-crop", "eigen", "--depth-cap", 20, "--depth-camera", "right", "--cache-dir", tmp_path / "maps")
    common = ("--depth-validation-loaders", "kitti_zhou_test", "--model-name", "right", "--eval-num-images", 0)
    eval_depth.evaluate(arguments.parse("eval_depth", flags(place, "depth", *common, *changed)))
    name = "kitti_zhou with crop eigen, cap 20 m, right camera"
    assert f" Protocol | {name} (usual for kitti_zhou_test: kitti_zhou)" in capsys.readouterr().out
    entry = json.loads((run_folder(place).with_name("right") / "metrics.json").read_text())["kitti_zhou_test_depth"]
    assert entry["protocol"]["name"] == name and entry["protocol"]["clamp"] == [1e-3, 20.0]
    usual = read(place)["kitti_zhou_test_depth"]
    assert entry["images"] == usual["images"] and entry["metrics"] != usual["metrics"]
    assert all("/image_03/" in row["name"] for row in rows(place, "kitti_zhou_test_depth", "right"))
    assert len(list((tmp_path / "maps").rglob("*.png"))) == entry["images"]


def test_the_kinds_of_kitti_2015_depth_are_told_apart(place, tmp_path):
    data = SimpleNamespace(data=tmp_path, runs=place.runs)
    published(download(tmp_path))
    common = ("--depth-validation-loaders", "kitti_2015_train", "--model-name", "scene_flow", "--eval-num-images", 0)
    found = []
    for more in ((), ("--as-released",)):
        eval_depth.evaluate(arguments.parse("eval_depth", flags(data, "depth", *common, *more)))
        path = run_folder(place).with_name("scene_flow") / "metrics.json"
        found.append(json.loads(path.read_text())["kitti_2015_train_depth"])
    assert [entry["protocol"]["ground_truth"] for entry in found] == ["kitti_2015 rectified", "kitti_2015 as released"]
    assert found[0]["metrics"]["abs_rel"] != found[1]["metrics"]["abs_rel"]


def test_own_truth_of_another_size_is_judged_and_drawn(place, tmp_path, caplog):
    for number in range(2):
        tiny.save(tmp_path / f"walk/{number}.png", tiny.picture(number, (64, 192)))
        tiny.save(tmp_path / f"walk/depth/{number}.png", np.full((32, 96), 2560 + number, np.uint16))
    eval_depth.evaluate(
        arguments.parse(
            "eval_depth",
            flags(
                place,
                "depth",
                "--depth-validation-loaders",
                "folder_test",
                "--model-name",
                "own",
                "--data-folder",
                tmp_path,
                "--data-intrinsics",
                "100,100,96,32",
                "--data-depth-unit",
                "1/10",
            ),
        )
    )
    folder = run_folder(place).with_name("own")
    entry = json.loads((folder / "metrics.json").read_text())["folder_test_depth"]
    assert entry["images"] == 2 and entry["protocol"]["ground_truth"] == "folder, 0.1 m per count"
    assert "folder_test: median depth of 256.05 m, outside 0.5 to 80 m" in caplog.text
    assert Image.open(first_picture(place, "folder_test_depth", "own", 1)).width == 96


@pytest.mark.parametrize("purpose", SCRIPTS)
@pytest.mark.parametrize(
    "change, fault",
    [
        (("--model-load", ""), "--model-load: not given"),
        (("--model-load", "nowhere"), "nowhere"),
        (("--model-num-layers", "50"), "--model-num-layers 18"),
        (("--eval-num-images", "-1"), "--eval-num-images: -1"),
        (("--dataset-dir", "/nowhere/at/all"), "/nowhere/at/all"),
        (("--sys-best-effort-determinism", "--{}-validation-resize-height", "200"), "nearest are 192 and 224"),
        (("--{}-validation-loaders", ""), "names no data set"),
        (("--{}-validation-loaders", "kitti_zho_test"), "kitti_zho_test"),
    ],
)
def test_mistakes_are_told_in_one_sentence(place, purpose, change, fault):
    words = [word.format(purpose) for word in change]
    with pytest.raises(UserError, match=re.escape(fault)):
        SCRIPTS[purpose].evaluate(
            arguments.parse(f"eval_{purpose}", flags(place, purpose, "--model-name", "none", *words))
        )
    assert not run_folder(place).with_name("none").exists()


def test_a_run_folder_that_is_a_file_and_a_damaged_metrics_file_are_named(place):
    (place.runs / "sgdepth_eccv_test").mkdir(exist_ok=True)
    (place.runs / "sgdepth_eccv_test" / "taken").write_text("x")
    with pytest.raises(UserError, match="taken"):
        eval_depth.evaluate(arguments.parse("eval_depth", flags(place, "depth", "--model-name", "taken")))
    folder = place.runs / "sgdepth_eccv_test" / "damaged"
    folder.mkdir()
    (folder / "metrics.json").write_text("{")
    with pytest.raises(UserError, match="damaged/metrics.json: not valid JSON"):
        eval_depth.evaluate(arguments.parse("eval_depth", flags(place, "depth", "--model-name", "damaged")))


def test_the_command_itself_turns_a_mistake_into_exit_code_two(place, run):
    done = run("eval_depth.py", *flags(place, "depth", "--eval-num-images", -1))
    assert "--eval-num-images: -1" in commands.error_of(done)


def test_real_laser_scans_and_labels_are_evaluated(place, tmp_path):
    data = real_data.dataset_folder(tmp_path / "data")
    lines = (data / "kitti_zhou_split/test_files.txt").read_text().splitlines(keepends=True)
    (data / "kitti_zhou_split/test_files.txt").write_text("".join(lines[:3]))
    (data / "cityscapes").unlink()
    (data / "cityscapes").symlink_to(real_data.root() / "cityscapes_mini/val_small", target_is_directory=True)
    here = SimpleNamespace(data=data, runs=place.runs)
    common = ("--model-name", "real", "--eval-num-images", 1)
    eval_depth.evaluate(
        arguments.parse("eval_depth", flags(here, "depth", *common, "--depth-validation-loaders", "kitti_zhou_test"))
    )
    eval_segmentation.evaluate(arguments.parse("eval_segmentation", flags(here, "segmentation", *common)))
    folder = run_folder(place).with_name("real")
    found = json.loads((folder / "metrics.json").read_text())
    assert {domain: entry["images"] for domain, entry in found.items()} == {
        "kitti_zhou_test_depth": 3,
        "cityscapes_val_seg": 1,
    }
    assert found["kitti_zhou_test_depth"]["metrics"]["abs_rel"] < 2
    assert Image.open(first_picture(place, "kitti_zhou_test_depth", "real")).width == 1242


SETS = {  # what judges each, against which truth, how many images
    "kitti_eigen_test": ("kitti_eigen", "raw, x of the scanner", 6),
    "kitti_eigen_benchmark_test": ("kitti_eigen_benchmark", "improved", 4),
    "cityscapes_test": ("cityscapes_test", "cityscapes disparity", 2),
    "ddad_validation": ("ddad", "ddad", 1),
    "diml_indoor_test": ("diml_indoor", "diml", 1),
    "diml_outdoor_test": ("diml_outdoor", "diml", 1),
}


@pytest.fixture(scope="module")
def sets(tmp_path_factory) -> Path:
    """Every further set, with a sample or a few."""
    root = tiny.kitti(tmp_path_factory.mktemp("sets"))
    tiny.drive_list(root, "eigen", "test_files.txt", range(6))
    test_kitti_eigen.improved(root, range(2, 6))
    for name in test_cityscapes_depth.SCENES[:2]:
        test_cityscapes_depth.image(root, name)
        test_cityscapes_depth.disparity(root, name)
    test_ddad.scene(root, "000150", 1)
    test_ddad.index(root, ["000150"])
    test_diml.indoor(root, "HR/x", "one")
    test_diml.outdoor(root, "HR/y", "one")
    return root


def test_every_further_set_is_judged_by_its_own_rules(place, sets, capsys):
    name = ("--dataset-dir", sets, "--depth-validation-loaders", ",".join(SETS), "--model-name", "sets")
    eval_depth.evaluate(arguments.parse("eval_depth", flags(place, "depth", *name)))
    found = json.loads((run_folder(place).with_name("sets") / "metrics.json").read_text())
    told = {
        domain.removesuffix("_depth"): (entry["protocol"]["name"], entry["protocol"]["ground_truth"], entry["images"])
        for domain, entry in found.items()
    }
    assert told == SETS
    assert found["kitti_eigen_benchmark_test_depth"]["skipped"] == 2
    assert "Protocol" not in capsys.readouterr().out
    assert len([*(run_folder(place).with_name("sets") / "eval_images").rglob("*.png")]) == 2 + 2 + 2 + 3


def test_the_eigen_test_with_improved_maps_is_that_of_the_benchmark(place, sets, capsys):
    common = ("--dataset-dir", sets, "--model-name", "improved", "--depth-gt", "improved", "--eval-num-images", 0)
    both = ("--depth-validation-loaders", "kitti_eigen_test,kitti_eigen_benchmark_test")
    eval_depth.evaluate(arguments.parse("eval_depth", flags(place, "depth", *common, *both)))
    first, second = json.loads((run_folder(place).with_name("improved") / "metrics.json").read_text()).values()
    assert first == second and "Protocol" not in capsys.readouterr().out


def test_the_released_evaluation_of_bdedepth_is_named_and_differs(place, sets, capsys):
    common = ("--dataset-dir", sets, "--depth-validation-loaders", "kitti_eigen_test", "--eval-num-images", 0)
    for name, more in (("ours", ()), ("released", ("--eval-protocol", "bdedepth_released"))):
        words = flags(place, "depth", *common, "--model-name", name, *more)
        eval_depth.evaluate(arguments.parse("eval_depth", words))
    ours, released = (
        json.loads((run_folder(place).with_name(name) / "metrics.json").read_text())["kitti_eigen_test_depth"]
        for name in ("ours", "released")
    )
    assert ours["metrics"]["abs_rel"] != pytest.approx(released["metrics"]["abs_rel"], rel=1e-9)
    assert "released BDEdepth" in released["protocol"]["name"]
    assert "Protocol | kitti_eigen with resizing and medians of the released BDEdepth" in capsys.readouterr().out
