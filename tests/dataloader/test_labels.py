"""Label ids and training ids."""

import numpy as np
import pytest

from dataloader.labels import CLASSES, TRAIN_ID_OF, to_train_ids
from errors import UserError
from tests import golden


def test_label_ids_match_the_published_table():
    _, want = golden.load("sgdepth_data")
    known = want["trainid_of_id_0_33_then_34_200_255"][:34]  # the rest shows the released nearest-id rule
    assert np.array_equal(TRAIN_ID_OF[:34], known)


def test_unknown_ids_are_ignored():
    assert (TRAIN_ID_OF[34:] == 255).all()
    assert to_train_ids(np.array([[34, 200, 255]], np.uint8), "fromid").tolist() == [[255, 255, 255]]


def test_each_class_has_one_id():
    assert TRAIN_ID_OF[[label for _, label, _ in CLASSES]].tolist() == list(range(19))
    assert (TRAIN_ID_OF != 255).sum() == 19


def test_train_ids_stay_and_what_is_no_class_is_ignored():
    assert to_train_ids(np.array([[0, 18, 19, 255]], np.uint8), "fromtrainid").tolist() == [[0, 18, 19, 255]]


def test_colours_find_their_nearest_class():
    image = np.array([[(128, 64, 128), (0, 0, 140), (0, 0, 0), (3, 2, 1), (221, 21, 61)]], np.uint8)
    assert to_train_ids(image, "fromrgb").tolist() == [[0, 13, 255, 255, 11]]


def test_ids_may_lie_in_the_third_channel():
    image = np.zeros((1, 2, 3), np.uint8)
    image[..., 2] = [7, 26]
    assert to_train_ids(image, "fromid_third_channel").tolist() == [[0, 13]]


def test_a_mode_that_does_not_fit_is_refused():
    with pytest.raises(UserError, match=r"a\.png: 3 channel\(s\) do not fit label mode 'fromid'"):
        to_train_ids(np.zeros((2, 2, 3), np.uint8), "fromid", "a.png")
    with pytest.raises(UserError, match="'ids' is unknown; choose one of fromid"):
        to_train_ids(np.zeros((2, 2), np.uint8), "ids")
