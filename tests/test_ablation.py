"""The table of SGDEM's parts: what is trained for it, who teaches, and what is not trained again."""

from __future__ import annotations

import threading
from pathlib import Path

import cv2
import numpy as np
import pytest

import arguments
from benchmarks import ablation, answers
from benchmarks.ablation import TABLE, Pupils, Teacher, check_rows, chosen, joined
from benchmarks.street import Plan
from dataloader.cache.teacher import TeacherCache, read_recipe
from tests.tables import Commands, option


def pupils(folder: Path, **more: object) -> Pupils:
    teacher = Teacher(folder=folder / "teacher", steps=0, size=(192, 640), drives=96)
    return Pupils(TABLE, Plan(0, (96, 320), 60), 1, folder / "seed_1", teacher=teacher, **more)


@pytest.mark.parametrize("name", [name for name, row in TABLE.rows.items() if row.preset == ablation.STUDENT])
def test_a_row_has_what_its_title_says_and_nothing_else(name, tmp_path):
    given = vars(arguments.parse("train", pupils(tmp_path).training_words(name)))
    on = {
        "attention": given["model_attention"] != "none",
        "consistency": given["sd_consistency_weight"] > 0,
        "patches": given["patch_distill"],
        "whole images": given["teacher_loss_weight"] > 0,
        "gate": given["teacher_gate"] != "none",
    }
    wanted = {
        "base": set(),
        "attention": {"attention"},
        "patches": {"patches"},
        "published": {"attention", "consistency", "patches"},
        **dict.fromkeys(("decided", "light", "paper", "boundary", "triplet", "plane"), {"consistency"}),
        **dict.fromkeys(("ssi", "gradient", "ranking", "strong", "truth"), {"whole images"}),
        **dict.fromkeys(("photometric", "uncertainty"), {"whole images", "gate"}),
    }
    assert {part for part, there in on.items() if there} == wanted[name]
    if name in ("decided", "paper", "boundary", "triplet", "plane"):
        assert given["sd_consistency_variant"] == name
    if name in ("photometric", "uncertainty"):
        assert given["teacher_gate"] == name
    assert "{" not in given["teacher_cache"] + given["patch_teacher"] + given["patch_teacher_cache"]


def test_all_rows_pass_the_checks_of_a_training(tmp_path):
    check_rows(pupils(tmp_path))


def test_sgdem_as_published_has_the_weights_of_its_recipe(tmp_path):
    given = arguments.parse("train", pupils(tmp_path).training_words("published"))
    recipe = arguments.parse("train", ["--method", "sgdem"])
    for name in (
        "model_attention",
        "sd_consistency_weight",
        "sd_consistency_variant",
        "patch_loss_weight",
        "depth_reprojection_weight",
    ):
        assert getattr(given, name) == getattr(recipe, name)


def test_the_presets_are_the_row_that_was_chosen(tmp_path):
    row = vars(arguments.parse("train", pupils(tmp_path).training_words("gradient")))
    parts = {
        name for name in row if name.startswith(("model_attention", "teacher_", "sd_consistency_w", "patch_distill"))
    }
    parts -= {"teacher_cache"}  # in place of the teacher itself
    assert {"model_attention", "teacher_loss", "teacher_loss_weight", "teacher_gate", "patch_distill"} <= parts
    for preset in ("sgdem_plus", "sgdem_plus_street"):
        given = vars(arguments.parse("train", ["--config", f"presets/{preset}.toml"]))
        assert given["teacher"] and {name: given[name] for name in parts} == {name: row[name] for name in parts}


def test_rows_are_put_together_in_one():
    name, row = joined(TABLE.rows, "attention,gradient,uncertainty,plane")
    assert name == "attention+gradient+uncertainty+plane" and row.title == (
        "together: attention, gradient, uncertainty, plane"
    )
    words = [*TABLE.common, *row.options]
    given = arguments.parse("train", ["--method", "sgdem", *words])
    assert (given.model_attention, given.sd_consistency_variant, given.teacher_gate, given.patch_distill) == (
        "bottleneck",
        "plane",
        "uncertainty",
        False,
    )
    assert joined(TABLE.rows, "attention,patches")[1].options.count("--patch-distill") == 1
    assert list(chosen(["published"], ["attention,ssi"], "base").rows) == [
        *ablation.ALIGNMENT,
        "base",
        "published",
        "attention+ssi",
    ]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--together", "decided,plane"], "decided has --sd-consistency-variant decided, plane has plane"),
        (["--together", "gradient,strong"], "gradient has --teacher-loss-weight 0.1, strong has 1"),
        (["--together", "attention,ssl"], "give two or more different ones of attention, decided"),
        (["--together", "attention"], "give two or more different ones"),
        (["--together", "attention,attention"], "give two or more different ones"),
        (["--together", "base,attention"], "give two or more different ones"),
        (["--rows", "attentoin"], "--rows attentoin: no such row; there are teacher_metres"),
        (["--against", "bas"], "--against bas: no such row"),
        (["--seeds", "4", "101"], "101 and up are those of teachers"),
        (["--size", "64", "128"], "no such patch fits into the 64x128 network input"),
        (["--steps", "100"], "take 99 or 110"),
        (["--teacher-steps", "30"], "take 20 or 40"),
        (["--teacher-steps", "-20"], "--teacher-steps: 0 or more; --teacher-drives: 1 or more"),
    ],
)
def test_what_cannot_be_is_refused_before_a_street_is_drawn(words, said, tmp_path, capsys):
    run = Commands()
    with pytest.raises(SystemExit) as ended:
        ablation.main([*words, "--out", str(tmp_path)], run)
    assert ended.value.code == 2 and not run.lines and said in " ".join(capsys.readouterr().err.split())


def test_the_table_states_the_teacher_the_distance_to_it_and_what_parts_are_worth(tmp_path, capsys):
    worth = {"base": 0.3, "gradient": 0.2, "teacher_metres": 0.1, "to_teacher_gradient": 0.15}
    run = Commands(lambda seed, name: worth.get(name, 0.25) + seed / 100)
    words = ["--seeds", "4", "5", "--steps", "11", "--rows", "gradient", "truth", "--together", "attention,gradient"]
    ablation.main([*words, "--out", str(tmp_path)], run)
    students = ["base", "gradient", "truth", "attention+gradient"]
    assert run.trained == [("101", "teacher"), *((seed, name) for seed in "45" for name in students)]
    text = (tmp_path / "table_4_5.md").read_text()
    assert text in capsys.readouterr().out
    head, _, *rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines()[:8]]
    assert head[1:8] == [
        *("Abs Rel", "RMSE", "a1", "mIoU", "Abs Rel to its teacher", "minutes", "Abs Rel - that of base")
    ]
    assert [row[0] for row in rows] == [
        "teacher, in metres",
        "teacher, scaled by medians",
        "base",
        "+ whole images, ssi+gradient",
        "+ blurred truth, ssi+gradient, weight 1",
        "together: attention, gradient",
    ]
    assert rows[0][1:8] == ["0.145 ± 0.007", "0.15 ± 0.01", "0.145 ± 0.007", "", "", "", "-0.200 ± 0.000"]
    assert rows[3][1] == "0.245 ± 0.007" and rows[3][5:8] == ["0.195 ± 0.007", "0.0 ± 0.0", "-0.100 ± 0.000"]
    shown = cv2.imread(str(tmp_path / "pictures_5.png"))
    strips = 6  # frames, teacher, and four rows
    assert shown.shape[1] == 4 * 64 and shown.shape[0] > strips * 32 and shown.shape[0] % strips == 0
    assert "| base | 0.340 | 0.350 |" in text  # seed by seed
    before = len(run.lines)
    ablation.main([*words, "--out", str(tmp_path)], run)
    assert len(run.lines) == before and (tmp_path / "table_4_5.md").read_text() == text
    ablation.main([*words, "--against", "gradient", "--out", str(tmp_path)], run)
    assert len(run.lines) == before and (tmp_path / "table_4_5.md").read_text() == text
    assert "Abs Rel - that of + whole images, ssi+gradient" in (tmp_path / "table_4_5_against_gradient.md").read_text()


def test_teacher_and_streets_have_twice_the_sides_of_what_students_see(tmp_path):
    run = Commands()
    ablation.main(["--seeds", "1", "--steps", "11", "--rows", "gradient", "truth", "--out", str(tmp_path)], run)
    drawn = [line for line in run.lines if "synthetic" in line]
    assert [(option(line, "--seed"), option(line, "--height"), option(line, "--width")) for line in drawn] == [
        ("1", "192", "640"),
        ("101", "192", "640"),
    ]
    assert option(run.training("base"), "--depth-resize-height") == "96"
    assert [option(run.training("base"), f"--segmentation-resize-{side}") for side in ("height", "width")] == [
        "240",
        "480",
    ]
    (cache,) = [line for line in run.lines if "teacher-cache" in line]
    teacher = tmp_path / "teacher/checkpoints/street/teacher/checkpoints/epoch_20"
    assert option(cache, "--teacher") == str(teacher) and (option(cache, "--height"), option(cache, "--width")) == (
        "96",
        "320",
    )
    assert option(run.training("gradient"), "--teacher-cache") == option(cache, "--out")
    judged = [line for line in run.lines if "--depth-alignment" in line]
    assert [option(line, "--depth-alignment") for line in judged] == ["none", "median"]
    assert {option(line, "--depth-validation-loaders") for line in judged} == {answers.HELD_OUT}


def test_an_interrupted_table_goes_on_and_the_teacher_is_trained_once(tmp_path):
    words = ["--seeds", "1", "2", "--steps", "11", "--rows", "attention", "ssi", "--out", str(tmp_path)]
    first = Commands(stop_at="ssi")
    with pytest.raises(SystemExit):
        ablation.main(words, first)
    assert first.trained == [("101", "teacher"), ("1", "base"), ("1", "attention")]
    second = Commands()
    ablation.main(words, second)
    assert second.trained == [("1", "ssi"), ("2", "base"), ("2", "attention"), ("2", "ssi")]
    third = Commands()
    ablation.main([*words, "--together", "attention,ssi"], third)
    assert third.trained == [("1", "attention+ssi"), ("2", "attention+ssi")]


def test_another_teacher_needs_another_folder(tmp_path, capsys):
    words = ["--steps", "11", "--rows", "ssi", "--out", str(tmp_path)]
    ablation.main([*words, "--seeds", "1"], Commands())
    with pytest.raises(SystemExit) as ended:
        ablation.main([*words, "--seeds", "2", "--teacher-drives", "4"], Commands())
    assert ended.value.code == 2 and "the teacher was made with {'steps': 0" in " ".join(
        capsys.readouterr().err.split()
    )


def test_two_processes_make_one_teacher(tmp_path):
    inside, go, run = threading.Event(), threading.Event(), Commands()

    def slow(*words: str | Path) -> None:
        run(*words)
        if words[0] == "train.py":
            inside.set()
            assert go.wait(10)

    one, two = (
        Teacher(folder=tmp_path / "teacher", steps=20, size=(64, 128), drives=1, run=each) for each in (slow, run)
    )
    threads = [threading.Thread(target=one.make), threading.Thread(target=two.make)]
    threads[0].start()
    assert inside.wait(10)
    threads[1].start()
    threads[1].join(0.3)
    assert threads[1].is_alive()  # it waits
    go.set()
    for thread in threads:
        thread.join(10)
    assert run.trained == [("101", "teacher")] and (tmp_path / "teacher" / ablation.NOTE).exists()


def test_the_blurred_truth_of_a_street_is_a_cache_of_whole_images(street, tmp_path, capsys):
    words = ["truth", "--dataset-dir", str(street), "--out", str(tmp_path / "truth"), "--size", "32", "64"]
    answers.main(words)
    assert "8 of 8 maps were made" in capsys.readouterr().out
    cache = TeacherCache(tmp_path / "truth", read_recipe(tmp_path / "truth"))
    maps = sorted((tmp_path / "truth").rglob("*.png"))
    assert cache.recipe.shape == (1, 32, 64) and len(maps) == 8
    maps[0].unlink()
    answers.main(words)
    assert "1 of 8 maps were made" in capsys.readouterr().out and maps[0].exists()


def test_blurred_truth_is_inverse_depth_and_the_sky_is_far():
    depth = np.full((64, 128), 4.0, np.float32)
    depth[:32] = 0
    found = answers.blurred_inverse(depth, (32, 64))
    assert found.shape == (32, 64) and found[-1, 5] == pytest.approx(0.25) and found[0, 5] == 0
    assert 0 < found[15, 5] < found[16, 5] < 0.25


@pytest.mark.parametrize(
    ("words", "said"), [(["truth"], "no such folder"), (["depth", "--checkpoint", "nobody"], "nobody")]
)
def test_answers_without_a_street_or_a_teacher_are_refused_in_a_sentence(words, said, tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        answers.main([*words, "--dataset-dir", str(tmp_path / "none"), "--out", str(tmp_path / "out.npz")])
    assert ended.value.code == 2 and said in capsys.readouterr().err
