import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from radarsparse.errors import InputError
from radarsparse.evaluation.crop import CropBox, check_crops
from radarsparse.evaluation.workers import Workers

HERE = CropBox.parse("0,-10,-2,20,10,2")


def test_six_numbers_are_a_box() -> None:
    box = CropBox.parse("-1.5,0,-3,20,10,1e1")
    assert np.array(box).tolist() == [[-1.5, 0.0, -3.0], [20.0, 10.0, 10.0]]
    assert box.diagonal_m == pytest.approx(math.hypot(21.5, 10, 13))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1,2,3,4,5", "six numbers"),
        ("1,2,3,4,5,6,7", "six numbers"),
        ("1,2,3,4,5,x", "six numbers"),
        ("", "six numbers"),
        ("0,0,0,1,inf,1", "must be finite"),
        ("0,0,nan,1,1,1", "must be finite"),
        ("0,2,0,1,2,1", "y0 2 must be below y1 2"),
        ("0,0,5,1,1,-5", "z0 5 must be below z1 -5"),
    ],
)
def test_what_is_no_box_is_refused(text: str, words: str) -> None:
    with pytest.raises(InputError, match=rf"--crop {text}: .*{words}"):
        CropBox.parse(text)


def test_the_lower_corner_lies_inside_the_upper_one_outside() -> None:
    points = np.array([HERE.minimum_m, HERE.maximum_m, (5, 0, 0), (5, 0, 2.5), (np.nan, 0, 0)])
    assert HERE.contains(points).tolist() == [True, False, True, False, False]


@given(st.integers(0, 2**32 - 1), st.integers(1, 30))
def test_a_box_around_points_is_as_tight_as_can_be(seed: int, count: int) -> None:
    points = np.random.default_rng(seed).normal(0, 20, (count, 4))
    box = CropBox.around(np.concatenate([points, np.full((1, 4), np.nan)]))
    assert box is not None
    assert box.minimum_m.tolist() == [min(p[axis] for p in points) for axis in range(3)]
    assert box.maximum_m.tolist() == [max(p[axis] for p in points) for axis in range(3)]


def test_nothing_has_no_box() -> None:
    assert CropBox.around(np.zeros((0, 4))) is None
    assert CropBox.around(np.full((2, 4), np.nan)) is None


def test_joined_boxes_cover_their_parts() -> None:
    both = CropBox.joined([HERE, CropBox.parse("-5,0,0,1,1,9")])
    assert str(both) == "(-5.0, -10.0, -2.0) .. (20.0, 10.0, 9.0) m"


def spread(count: int, box: CropBox = HERE, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(box.minimum_m, box.maximum_m, (count, 3))


def check(wide: Sequence[np.ndarray], narrow: Sequence[np.ndarray]) -> CropBox | None:
    """Of the sides `pred` and `target`, a cloud per frame each."""
    frames = {
        str(number): {"pred": pred, "target": target}
        for number, (pred, target) in enumerate(zip(wide, narrow, strict=True))
    }
    return check_crops(list(frames), frames.__getitem__, Workers())


def beyond(count: int, by_m: float) -> np.ndarray:
    """Points at a distance from the box that the other side spans, which ends at x = 20."""
    return np.tile([20.0 + by_m, 0.0, 0.0], (count, 1))


CORNERS = np.array([HERE.minimum_m, HERE.maximum_m])


@pytest.mark.parametrize(
    ("outside", "by_m", "fine"),
    [(5, 50.0, True), (6, 50.0, False), (100, 4.9, True), (100, 5.1, False)],
)
@pytest.mark.parametrize("swapped", [False, True])
def test_five_per_cent_may_lie_more_than_five_metres_outside(
    outside: int, by_m: float, fine: bool, swapped: bool
) -> None:
    # All frames are pooled: the second frame holds what the first one lacks.
    wide = [spread(60), np.concatenate([spread(40 - outside % 100), beyond(outside, by_m)])]
    narrow = [CORNERS, spread(300)]
    if fine:
        assert check(*((narrow, wide) if swapped else (wide, narrow))) is not None
        return
    with pytest.raises(InputError) as error:
        check(*((narrow, wide) if swapped else (wide, narrow)))
    far, near = ("target", "pred") if swapped else ("pred", "target")
    share = f"{outside / sum(map(len, wide)):.0%}"
    for words in (
        f"{share} of the points of {far} lie more than 5 m outside the box of {near}, at most 5%",
        f"{near} (0.0, -10.0, -2.0) .. (20.0, 10.0, 2.0) m",
        f".. ({20 + by_m:.1f}, ",
        "give --crop x0,y0,z0,x1,y1,z1",
    ):
        assert words in str(error.value)


def test_empty_sides_and_empty_frames_are_passed_over() -> None:
    nothing = np.zeros((0, 3))
    check([beyond(10, 500.0)], [nothing])
    check([nothing], [beyond(10, 500.0)])
    check([spread(50), nothing], [nothing, spread(50)])
    assert check([nothing], [nothing]) is None


def test_only_frames_that_stick_out_are_read_again() -> None:
    far = np.concatenate([spread(50), beyond(1, 50.0)])
    frames = {"in": spread(50), "out": far}
    asked: list[str] = []

    def read(name: str) -> dict[str, np.ndarray]:
        asked.append(name)
        return {"pred": frames[name], "target": np.concatenate([CORNERS, spread(50)])}

    assert check_crops(list(frames), read, Workers()) is not None
    assert asked == ["in", "out", "out"]
