"""What drivers, programs and users call our columns: one rule for files and bags."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from radarsparse.errors import InputError
from radarsparse.formats.content import Table, listed
from radarsparse.scan import BOUNDS, RADAR_COLUMNS

# What the driver of the Oculii Eagle calls the channels, in its order.
OCULII_CHANNELS = ("doppler", "range", "power", "alpha", "beta")

# By `plain_name`; the first that is there counts. Of power, names come first whose values are in
# dB whoever writes them: `power`, `amplitude` and `intensity` are linear in some drivers.
ALIASES = {
    "doppler_mps": (
        *("dopplermps", "vdopplermps", "doppler", "dopplervelocity", "vr", "radialvelocity"),
        *("radialspeed", "rangerate", "velocity", "vel", "speed", "v"),
    ),
    "power_db": (
        *("powerdb", "snrdb", "rcsdb", "rcsdbsm", "snr", "rcs", "magnitude", "mag", "power"),
        *("amplitude", "intensity"),
    ),
}


@dataclass(frozen=True)
class Fields:
    """What a user says of the columns of radar files.

    Attributes:
        names: what a file calls x, y, z, Doppler and power, or all of a row in order where it has
            no names itself, ours among them by usual names; none where nothing is said.
        bin_type: of the numbers in a `.bin` file.
    """

    names: tuple[str, ...] = ()
    bin_type: Literal["float32", "float64"] = "float32"

    @staticmethod
    def parse(text: str) -> "Fields":
        """Read names that are apart by commas.

        Raises:
            InputError: a name is empty, or doubled and not `_`.
        """
        names = tuple(name.strip() for name in text.split(","))
        if not all(names):
            raise InputError(f"--fields {text}: holds an empty name")
        if doubled := next((name for name in names if name != "_" and names.count(name) > 1), None):
            raise InputError(f"--fields {text}: holds {doubled} more than once")
        return Fields(names)

    @property
    def radar_names(self) -> tuple[str, ...]:
        """The names for `RADAR_COLUMNS`.

        Raises:
            InputError: they aren't five.
        """
        if len(self.names) != len(RADAR_COLUMNS):
            given, wanted = ",".join(self.names), ", ".join(RADAR_COLUMNS)
            raise InputError(f"--fields {given}: must be five names, for {wanted}")
        return self.names


def plain_name(name: str) -> str:
    """A name without capitals, blanks, underscores, brackets and CloudCompare's prefix."""
    return re.sub(r"[\s_()\[\]]+", "", name.lower()).removeprefix("scalar")


def find_radar_columns(
    names: Iterable[str], source: str, table: Table | None = None
) -> tuple[str, ...]:
    """Which five of the names stand for `RADAR_COLUMNS`.

    Args:
        names: as the source writes them, in any case, with underscores or blanks.
        source: what has columns of these names, for errors.
        table: their values: a column that can't be meant then gives way to one that can.

    Raises:
        InputError: none of the names stands for a column, or two that differ by spelling only.
    """
    names = list(dict.fromkeys(names))
    written: dict[str, list[str]] = {}
    for name in names:
        written.setdefault(plain_name(name), []).append(name)
    found: dict[str, str] = {}
    for column in RADAR_COLUMNS:
        usual = ALIASES.get(column, (column,))
        candidates = [_pick(written[alias], source) for alias in usual if alias in written]
        likely = [name for name in candidates if table and _can_be(column, table[name])]
        found.update((column, name) for name in (likely or candidates)[:1])
    if missing := [column for column in RADAR_COLUMNS if column not in found]:
        raise InputError(
            f"{source}: has no column {listed(missing)} by any usual name, --fields names them;"
            f" there are: {listed(names)}"
        )
    return tuple(found.values())


def select_columns(table: Table, names: Sequence[str], source: str) -> NDArray[Any]:
    """The columns of exactly these names, [n, len(names)].

    Raises:
        InputError: there is no such column.
    """
    if missing := [name for name in names if name not in table]:
        raise InputError(f"{source}: has no column {listed(missing)}; there are: {listed(table)}")
    return np.stack([table[name] for name in names], axis=1)


def _can_be(column: str, values: NDArray[Any]) -> bool:
    """Whether values are mostly in their bounds."""
    low, high = BOUNDS[column]
    finite = values[np.isfinite(values)]
    inside = np.count_nonzero((low <= finite) & (finite <= high))
    return 2 * inside > len(values)


def _pick(names: Sequence[str], source: str) -> str:
    """Of names that differ by spelling only the one that is spelt as usual."""
    usual = [name for name in names if name in (*RADAR_COLUMNS, plain_name(name))]
    if len(usual or names) > 1:
        what = f"its columns {listed(names)} differ by spelling only"
        raise InputError(f"{source}: {what}; --fields names one")
    return (usual or names)[0]
