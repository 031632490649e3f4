"""The pairs of a plan as lists, cut into blocks of output rows."""

import math
from dataclasses import dataclass, field
from itertools import pairwise

import torch
from jaxtyping import Int
from torch import Tensor

# Rows of a run are counted in 16 bits.
_RUN_ROWS_MAX = 1 << 15


@dataclass(frozen=True)
class Block:
    """The pairs that lead to a run of output rows.

    Attributes:
        rows: the run of output rows.
        input_rows: int64 [p], grouped by kernel offset.
        output_rows: int64 [p].
        counts: number of pairs of each of the K offsets.
        order: int64 [p], the pairs sorted by output row.
        row_bounds: int64 [rows + 1]; output row r owns order[row_bounds[r] .. row_bounds[r + 1]].
    """

    rows: slice
    input_rows: Int[Tensor, " p"]
    output_rows: Int[Tensor, " p"]
    counts: list[int]
    order: Int[Tensor, " p"]
    row_bounds: Int[Tensor, " r"]


@dataclass(frozen=True, eq=False)
class Pairs:
    """Which input row meets which kernel offset at which output row, as lists.

    Pairs are grouped by kernel offset, offsets in lexicographic (dx, dy, dz) order; within one
    offset input rows and output rows both ascend.

    Attributes:
        input_rows: int64 [p].
        output_rows: int64 [p].
        counts: number of pairs of each of the K offsets.
        n_outputs: rows of the output.
    """

    input_rows: Int[Tensor, " p"]
    output_rows: Int[Tensor, " p"]
    counts: list[int]
    n_outputs: int
    _cache: dict[int, list[Block]] = field(default_factory=dict, init=False, repr=False)

    @property
    def offset(self) -> Int[Tensor, " p"]:
        """Kernel offset of every pair."""
        return torch.repeat_interleave(torch.tensor(self.counts)).to(self.input_rows.device)

    def reversed(self, n_inputs: int) -> "Pairs":
        """The same pairs with inputs and outputs swapped; no data is copied."""
        return Pairs(self.output_rows, self.input_rows, self.counts, n_inputs)

    def blocks(self, pairs_most: int) -> list[Block]:
        """The pairs by runs of output rows, ready to be executed.

        Args:
            pairs_most: how many pairs a run may have on average.
        """
        runs = max(1, math.ceil(len(self.input_rows) / pairs_most))
        length = min(max(1, math.ceil(self.n_outputs / runs)), _RUN_ROWS_MAX)
        if length not in self._cache:
            self._cache[length] = self._make_blocks(length)
        return self._cache[length]

    def _make_blocks(self, length: int) -> list[Block]:
        if self.n_outputs <= length:
            rows = slice(0, self.n_outputs)
            return [_make_block(rows, self.input_rows, self.output_rows, self.counts)]
        starts = range(0, self.n_outputs, length)
        runs = [slice(start, min(start + length, self.n_outputs)) for start in starts]
        cuts = self._cut(length)
        return [self._take_block(rows, cut) for rows, cut in zip(runs, cuts, strict=True)]

    def _cut(self, length: int) -> list[list[tuple[int, int]]]:
        """Per run of output rows, where its pairs start and end in the list of every offset."""
        number = self.offset
        starts = torch.arange(0, self.n_outputs + length, length, device=number.device)
        starts = starts.clamp(max=self.n_outputs)
        offsets = torch.arange(len(self.counts), device=number.device)[:, None]
        ascending = number * self.n_outputs + self.output_rows
        cuts = torch.searchsorted(ascending, offsets * self.n_outputs + starts).T.tolist()
        return [list(zip(first, last, strict=True)) for first, last in pairwise(cuts)]

    def _take_block(self, rows: slice, cuts: list[tuple[int, int]]) -> Block:
        inputs = torch.cat([self.input_rows[start:end] for start, end in cuts])
        outputs = torch.cat([self.output_rows[start:end] for start, end in cuts])
        return _make_block(rows, inputs, outputs, [end - start for start, end in cuts])


def _make_block(rows: slice, input_rows: Tensor, output_rows: Tensor, counts: list[int]) -> Block:
    # 16 bits sort faster.
    local = (output_rows - rows.start).to(torch.int16)
    per_row = torch.bincount(local, minlength=rows.stop - rows.start).cumsum(0)
    return Block(
        rows=rows,
        input_rows=input_rows,
        output_rows=output_rows,
        counts=counts,
        order=torch.argsort(local, stable=True),
        row_bounds=torch.cat([per_row.new_zeros(1), per_row]),
    )
