"""NYU and Make3D from the command line to metrics.json, and what the data doctor says of them."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dataloader.check.__main__ import main as check
from evaluation.depth import METRICS
from tests import commands
from tests.dataloader import indoor

pytestmark = pytest.mark.usefixtures("thin")

LOADERS = ("nyu_v2_test", "nyu_v2_struct_test", "make3d_test")


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """All three sets with a few images."""
    root = tmp_path_factory.mktemp("indoor")
    indoor.labelled(root / "nyu_v2")
    indoor.struct_test(root / "nyu_v2/nyu_test")
    indoor.make3d(root / "make3d")
    return root


def test_one_evaluation_of_all_three_names_their_rules(data, tmp_path, run):
    commands.write_checkpoint(tmp_path / "start")
    done = run(
        "eval_depth.py",
        *("--method", "sgdepth", "--sys-cpu", "--sys-num-workers", 0, "--dataset-dir", data),
        *("--checkpoint-dir", tmp_path, "--model-load", "start", "--model-name", "judged", "--eval-num-images", 1),
        *("--depth-validation-resize-height", 64, "--depth-validation-resize-width", 128),
        *("--depth-validation-loaders", ",".join(LOADERS)),
    )
    assert done.returncode == 0, done.stderr
    table = json.loads((tmp_path / "sgdepth_eccv_test/judged/metrics.json").read_text())
    assert list(table) == [f"{name}_depth" for name in LOADERS]
    further = [{"abs_diff", "log10"}, {"abs_diff", "log10"}, {"rmse_log10"}]
    rules = [("nyu", [1e-3, 10.0]), ("nyu_struct", [0.0, 10.0]), ("make3d", [0.0, 70.0])]
    for entry, names, (protocol, limits), count in zip(table.values(), further, rules, (3, 2, 2), strict=True):
        assert set(entry["metrics"]) == {*METRICS, *names, "ratio_median", "ratio_std"}
        assert (entry["protocol"]["name"], entry["protocol"]["range"], entry["images"]) == (protocol, limits, count)
        assert entry["protocol"]["scaling"] == "median per image"
    (drawn,) = (tmp_path / "sgdepth_eccv_test/judged/eval_images/make3d_test_depth").glob("img_0.png")
    assert np.asarray(Image.open(drawn)).size


@pytest.mark.parametrize("loader", [*LOADERS, "nyu_v2_dense_test", "nyu_v2_official_train"])
def test_the_doctor_finds_them_sound_and_draws_them(data, tmp_path, capsys, loader):
    sheet = tmp_path / "sheet.png"
    assert check([loader, "--dataset-dir", str(data), "--contact-sheet", str(sheet)]) == 0
    said = capsys.readouterr().out
    assert "warning" not in said.lower() and "ground truth" in said
    assert ("intrinsics" in said) == loader.startswith("nyu")
    assert min(Image.open(sheet).size) > 100
    assert ("filled depth  1 of 1" in said) == ("smooth depth  0 of 1" in said) == loader.endswith("train")


def test_the_doctor_names_what_is_damaged(data, tmp_path, capsys):
    indoor.struct_test(tmp_path / "nyu_v2/nyu_test")
    (tmp_path / "nyu_v2/nyu_test/00002.h5").write_bytes(b"nothing")
    assert check(["nyu_v2_struct_test", "--dataset-dir", str(tmp_path)]) == 2
    assert "00002.h5" in capsys.readouterr().err
