"""Arrays arrive as they were put, in pieces small enough for a window, and from this folder alone."""

from __future__ import annotations

import numpy as np
import pytest

from xrayreg.worker import arrays
from xrayreg.worker.arrays import ArrayFolder
from xrayreg.worker.messages import BrokenStream

SHAPES = [(), (0,), (7,), (3, 0, 2), (5, 6), (4, 5, 6)]


@pytest.fixture
def ends(tmp_path):
    return ArrayFolder(tmp_path, "s"), ArrayFolder(tmp_path, "w")


@pytest.mark.parametrize("kind", ["|u1", "<i2", ">i2", "<f4", "<f8", "|b1"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_every_array_arrives_as_it_was_put(ends, kind, shape):
    mine, other = ends
    array = np.random.default_rng(0).integers(0, 2, shape).astype(kind)
    taken = other.take(mine.put(array))
    assert taken.dtype == array.dtype
    np.testing.assert_array_equal(taken, np.atleast_1d(array))


@pytest.mark.parametrize("order", ["turned", "every second", "reversed"])
def test_views_into_other_arrays_arrive_whole(ends, order):
    mine, other = ends
    whole = np.arange(4 * 5 * 6, dtype=np.int16).reshape(4, 5, 6)
    view = {"turned": whole.T, "every second": whole[::2, :, 1::2], "reversed": whole[::-1]}[order]
    np.testing.assert_array_equal(other.take(mine.put(view)), view)


def test_a_large_array_is_put_in_pieces_and_stays_in_its_file(ends, monkeypatch):
    mine, other = ends
    array = np.arange(100 * 64, dtype=np.int32).reshape(100, 64)
    monkeypatch.setattr(arrays, "_AT_ONCE", 10 * array[0].nbytes)
    name, blocks = mine.begin(array)
    assert len(list(blocks)) == 10
    mapped = other.mapped(name)
    mapped[0, 0] = 7
    np.testing.assert_array_equal(mapped[1:], array[1:])


def test_an_array_is_gone_once_it_was_taken_or_let_go(ends, tmp_path):
    mine, other = ends
    names = [mine.put(np.zeros(3)) for _ in range(3)]
    other.take(names[0])
    other.discard({"mask": names[1], "label": 4, "text": "s1.npy and more"})
    assert [path.name for path in tmp_path.iterdir()] == [names[2]]


def test_both_ends_number_their_arrays_apart(ends):
    mine, other = ends
    assert mine.put(np.zeros(1)) != other.put(np.ones(1))


@pytest.mark.parametrize("name", ["", "notes.txt", "s1.npy/", "S1.npy", "s1.npy ", "a/s1.npy"])
def test_names_that_nobody_gives_are_refused(ends, name):
    with pytest.raises(BrokenStream, match="announced"):
        ends[1].take(name)


def test_python_objects_are_not_taken(ends, tmp_path):
    np.save(tmp_path / "w1.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match="allow_pickle"):
        ends[0].take("w1.npy")
