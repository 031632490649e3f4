"""The gather of convolutions: the kernel, and what stands in where there is none."""

import pytest
import torch

from radarsparse.sparse.engines.gather import gather_by_kernel, gather_rows
from tests.kernels.emulator import EmulatedKernels


def slowly(feats: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
    rows = [[feats[i] if i < len(feats) else 0 * feats[0] for i in row] for row in table.tolist()]
    return torch.stack([torch.cat(row) for row in rows])


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize(("rows", "offsets", "channels"), [(1, 1, 8), (7, 27, 24), (300, 8, 40)])
def test_the_kernel_gathers_what_a_loop_gathers(
    kernels: EmulatedKernels, dtype: torch.dtype, rows: int, offsets: int, channels: int
) -> None:
    feats = torch.randn(rows, channels).to(dtype)
    table = torch.randint(rows + 1, (rows + 3, offsets))  # the last one is no row
    table[0] = rows
    expected = slowly(feats, table)
    assert torch.equal(gather_by_kernel(kernels, feats, table), expected)
    assert torch.equal(gather_rows(feats, table), expected)


def test_features_that_lie_apart_and_rows_of_a_larger_tensor(kernels: EmulatedKernels) -> None:
    wide, table = torch.randn(20, 16), torch.randint(6, (9, 4))
    for feats in (wide[:5, :8], wide[3:8], wide.T[:5, :4]):
        found = gather_by_kernel(kernels, feats, table)
        assert torch.equal(found, slowly(feats, table))


def test_nothing_to_gather(kernels: EmulatedKernels) -> None:
    none = torch.zeros(0, 27, dtype=torch.int64)
    assert gather_by_kernel(kernels, torch.randn(5, 8), none).shape == (0, 216)
    assert gather_rows(torch.randn(5, 3), none).shape == (0, 81)
    empty = torch.zeros(0, 8)
    assert torch.equal(gather_by_kernel(kernels, empty, none[:0]), torch.zeros(0, 216))
