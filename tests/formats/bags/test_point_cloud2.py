"""PointCloud2 messages, made of structured arrays and read back."""

from typing import Any

import numpy as np
import pytest

from radarsparse.errors import InputError
from radarsparse.formats.bags.point_cloud2 import columns_of_point_cloud2
from tests.formats.bags.bag_files import cloud2_fields

# As Ouster's driver has them: mixed types with gaps between them.
OUSTER = np.dtype(
    {
        "names": ["x", "y", "z", "intensity", "t", "reflectivity", "ring", "ambient", "range"],
        "formats": ["<f4", "<f4", "<f4", "<f4", "<u4", "<u2", "u1", "<u2", "<u4"],
        "offsets": [0, 4, 8, 16, 20, 24, 26, 28, 32],
        "itemsize": 48,
    }
)
NAMES = ("range", "x", "intensity", "ring")


def records(shape: tuple[int, ...] = (3, 4)) -> np.ndarray:
    """Points whose values number them, each field from another ten on."""
    points: Any = np.zeros(shape, OUSTER)
    for number, name in enumerate(OUSTER.names or ()):
        points[name] = np.arange(points.size).reshape(shape) + 10 * number
    return points


def cloud(**changes: Any) -> dict[str, Any]:
    return cloud2_fields(records()) | changes


@pytest.mark.parametrize("shape", [(12,), (1, 12), (3, 4), (12, 1)])
def test_fields_are_read_by_name_row_by_row(shape: tuple[int, ...]) -> None:
    points = columns_of_point_cloud2(cloud2_fields(records(shape)), NAMES, "it")
    expected = np.arange(12)[:, None] + [80.0, 0.0, 30.0, 60.0]
    np.testing.assert_array_equal(points, expected)
    assert points.dtype == np.float64


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", ["i1", "u1", "i2", "u2", "i4", "u4", "f4", "f8"])
def test_every_data_type_is_read_in_either_byte_order(order: str, kind: str) -> None:
    lowest = 0 if kind[0] == "u" else -100
    points = np.array([(lowest, 3), (100, 4)], dtype=[("v", order + kind), ("w", order + "f4")])
    decoded = columns_of_point_cloud2(cloud2_fields(points), ("v", "w"), "it")
    np.testing.assert_array_equal(decoded, [[lowest, 3], [100, 4]])


def test_rows_may_end_in_bytes_of_no_point() -> None:
    rows = records((2, 3)).view(np.uint8).reshape(2, -1)
    padded = np.pad(rows, ((0, 0), (0, 5)), constant_values=255)
    message = cloud2_fields(records((2, 3))) | {
        "row_step": padded.shape[1],
        "data": padded.ravel(),
    }
    np.testing.assert_array_equal(
        columns_of_point_cloud2(message, ("x",), "it")[:, 0], np.arange(6)
    )


@pytest.mark.parametrize("row_step", [0, 4, 576, 5 * 48, 2**32 - 1])
def test_rows_without_gaps_need_no_right_step(row_step: int) -> None:
    points = columns_of_point_cloud2(cloud(row_step=row_step), ("x",), "it")
    np.testing.assert_array_equal(points[:, 0], np.arange(12))


def test_too_many_points_are_refused_before_memory_is_taken() -> None:
    point = np.dtype([("x", "u1")])
    message = cloud2_fields(np.broadcast_to(np.zeros(1, point), 1)) | {
        "width": 2**25,
        "data": np.zeros(2**25, np.uint8),
    }
    with pytest.raises(InputError, match=r"^it: has 33554432 points; at most 16777216 are read"):
        columns_of_point_cloud2(message, ("x",), "it")


@pytest.mark.parametrize(
    "size",
    [
        {"height": 0, "width": 4, "row_step": 4 * 48},
        {"height": 2**32 - 1, "width": 0, "row_step": 0},
        {"height": 0, "width": 2**32 - 1, "row_step": 2**62},
    ],
)
def test_empty_clouds_have_no_rows(size: dict[str, int]) -> None:
    message = cloud(data=np.empty(0, np.uint8), **size)
    assert columns_of_point_cloud2(message, NAMES, "it").shape == (0, 4)


def test_a_count_of_nothing_stands_for_one() -> None:
    fields = [field | {"count": 0} for field in cloud()["fields"]]
    assert columns_of_point_cloud2(cloud(fields=fields), ("x",), "it")[1, 0] == 1.0


def test_numbers_that_are_not_finite_stay_so() -> None:
    values = np.array([0x7F800001, 0x7F800000, 0xFFC00000], dtype="<u4").view([("v", "<f4")])
    decoded = columns_of_point_cloud2(cloud2_fields(values), ("v",), "it")[:, 0]
    assert [np.isnan(decoded[0]), decoded[1] == np.inf, np.isnan(decoded[2])] == [True] * 3


def changed_field(**changes: int) -> list[dict[str, Any]]:
    first, *others = cloud()["fields"]
    return [first | changes, *others]


X = cloud()["fields"][0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"width": 5}, "has 576 bytes of data; 3 x 5 points of 48 bytes need 720, 3 rows of 192"),
        ({"width": 5, "row_step": 0}, "3 x 5 points of 48 bytes need 720, 3 rows of 0 bytes 0"),
        ({"point_step": 2**31}, "3 x 4 points of 2147483648 bytes need 25769803776"),
        ({"height": 4}, "4 x 4 points of 48 bytes need 768, 4 rows of 192 bytes 768"),
        ({"height": 4, "row_step": 144}, "4 x 4 points of 48 bytes need 768, 4 rows of 144"),
        ({"data": np.zeros(577, np.uint8), "row_step": 0}, "has 577 bytes of data"),
        ({"data": np.zeros(575, np.uint8)}, "has 575 bytes of data"),
        ({"fields": []}, "has 0 fields x; must have one; there are: none"),
        ({"fields": [*changed_field(), X]}, "has 2 fields x; must have one; there are: x, y, z"),
        ({"fields": changed_field(datatype=9)}, "field x: has data type 9 and count 1; must be"),
        ({"fields": changed_field(datatype=0)}, r"must be a data type of 1 \.\. 8 and one value"),
        ({"fields": changed_field(count=3)}, "field x: has data type 7 and count 3"),
        ({"fields": changed_field(offset=45)}, r"takes bytes 45 \.\. 48 of a point; .* 48 bytes"),
        ({"fields": changed_field(datatype=8, offset=41)}, r"takes bytes 41 \.\. 48"),
        ({"point_step": 0}, r"takes bytes 0 \.\. 3 of a point; points have 0 bytes"),
    ],
)
def test_what_contradicts_itself_is_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=f"^it: .*{message}"):
        columns_of_point_cloud2(cloud(**changes), ("x",), "it")


def test_numbers_at_random_give_points_or_an_input_error() -> None:
    random = np.random.default_rng(0)
    keys = ("height", "width", "point_step", "row_step")
    refused = 0
    for _ in range(2000):
        changes: dict[str, Any] = {key: int(random.integers(0, 60)) for key in keys}
        changes["data"] = np.zeros(changes["height"] * changes["row_step"], np.uint8)
        changes["fields"] = changed_field(
            datatype=int(random.integers(0, 10)), offset=int(random.integers(0, 60))
        )
        try:
            points = columns_of_point_cloud2(cloud(**changes), ("x",), "it")
        except InputError:
            refused += 1
        else:
            assert points.shape == (changes["height"] * changes["width"], 1)
    assert 0 < refused < 2000
