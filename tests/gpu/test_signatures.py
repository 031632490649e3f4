"""What a kernel would read as something else is refused at its door."""

import pytest
import torch

from radarsparse.gpu.signatures import check_arguments, signature
from tests.kernels.emulator import EmulatedKernels

FOUND = torch.zeros(3, dtype=torch.int64)
DISTANCES, ROWS = torch.zeros(3), torch.zeros(3, dtype=torch.int64)


def test_the_signature_is_that_of_the_source() -> None:
    parameters = signature("unpack_found")
    assert [p.name for p in parameters] == ["found", "queries", "distances2", "rows"]
    assert [p.is_integer for p in parameters] == [False, True, False, False]
    assert [p.dtype for p in parameters] == [torch.int64, None, torch.float32, torch.int64]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((FOUND, 3, DISTANCES), "unpack_found: 3 arguments found, 4 expected"),
        ((FOUND, 3, DISTANCES.double(), ROWS), r"distances2 is torch.float64 .* torch.float32"),
        ((FOUND, 3, DISTANCES, ROWS.int()), r"rows is torch.int32 of shape \(3,\)"),
        ((FOUND, 3, torch.zeros(6)[::2], ROWS), r"strides \(2,\), contiguous torch.float32"),
        ((FOUND, 3, 0, ROWS), r"distances2 is 0, contiguous torch.float32"),
        ((FOUND, DISTANCES, DISTANCES, ROWS), r"queries is torch.float32 .* int expected"),
        ((FOUND, None, DISTANCES, ROWS), "queries is None, int expected"),
    ],
)
def test_what_does_not_fit_is_named(
    kernels: EmulatedKernels, arguments: tuple, message: str
) -> None:
    with pytest.raises(TypeError, match=message):
        kernels.launch("unpack_found", (1, 1), 256, *arguments)


def test_rows_of_floats_and_of_doubles_are_taken_as_they_lie() -> None:
    integers = torch.zeros(3, dtype=torch.int32)
    rest = (3, 3, 0, 2, 2, None, None, 1, torch.zeros(4).double(), integers, FOUND, None)
    for dtype in (torch.float32, torch.float64):
        rows = torch.zeros(2, 4, dtype=dtype)[:, :3]
        check_arguments("join_clouds", (rows, rows, *rest))
    with pytest.raises(TypeError, match="first is 5, a tensor expected"):
        check_arguments("join_clouds", (5, rows, *rest))
