"""What sources call our columns."""

from collections.abc import Iterable

from radarsparse.errors import InputError
from radarsparse.scan import RADAR_COLUMNS

# What the driver of the Oculii Eagle calls the channels, in its order.
OCULII_CHANNELS = ("doppler", "range", "power", "alpha", "beta")

# What drivers and programs call our columns, in lower case; the first that is there counts.
ALIASES = {
    "doppler_mps": (
        "doppler_mps",
        "doppler",
        "doppler_velocity",
        "v_r",
        "vr",
        "radial_velocity",
        "radial_speed",
        "range_rate",
        "velocity",
        "vel",
        "speed",
    ),
    "power_db": (
        "power_db",
        "power",
        "snr_db",
        "snr",
        "magnitude",
        "mag",
        "amplitude",
        "intensity",
        "rcs",
    ),
}


def find_radar_columns(names: Iterable[str], source: str) -> tuple[str, ...]:
    """Which of the names stand for `RADAR_COLUMNS`.

    Args:
        names: as the source writes them, in any case, with underscores or blanks.
        source: what has columns of these names, for errors.

    Returns:
        Five of the names.

    Raises:
        InputError: none of the names stands for a column.
    """
    written = {name.strip().lower().replace(" ", "_"): name for name in names}
    found = {
        column: [written[alias] for alias in ALIASES.get(column, (column,)) if alias in written]
        for column in RADAR_COLUMNS
    }
    missing = [column for column, those in found.items() if not those]
    if missing:
        raise InputError(
            f"{source}: no column {', '.join(missing)} by any usual name, --fields"
            f" names them; there are: {', '.join(written.values()) or 'none'}"
        )
    return tuple(those[0] for those in found.values())
