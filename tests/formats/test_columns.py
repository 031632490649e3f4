"""Which names of drivers and programs stand for our columns."""

import numpy as np
import pytest

from radarsparse.errors import InputError
from radarsparse.formats.columns import OCULII_CHANNELS, Fields, find_radar_columns


@pytest.mark.parametrize(
    ("names", "doppler", "power"),
    [
        ("x y z doppler_mps power_db", "doppler_mps", "power_db"),
        ("x y z v r RCS", "v", "RCS"),  # ARS548, ROS 2
        ("x y z snr_db v_doppler_mps noise_db range", "v_doppler_mps", "snr_db"),  # RIO
        ("x y z Doppler Range Power", "Doppler", "Power"),
        ("x y z rcs v_r v_r_compensated time", "v_r", "rcs"),
        ("X Y Z V_r Mag", "V_r", "Mag"),
        ("x y z range azimuth elevation velocity rcs power snr", "velocity", "snr"),
        ("x y z power snr_db velocity", "velocity", "snr_db"),
        ("x y z power rcs vel", "vel", "rcs"),
        ("x y z amplitude magnitude speed", "speed", "magnitude"),
        ("x y z scalar_Doppler scalar_Power", "scalar_Doppler", "scalar_Power"),  # CloudCompare
        ("x y z RadialVelocity SNRdB", "RadialVelocity", "SNRdB"),
    ],
)
def test_columns_are_found_by_usual_names(names: str, doppler: str, power: str) -> None:
    written = names.split()
    assert find_radar_columns(written, "a")[3:] == (doppler, power)
    assert find_radar_columns(written[::-1], "a")[:3] == tuple(written[:3])


def test_blanks_and_capitals_do_not_matter() -> None:
    names = (" X", "y", "Z ", "Radial  Velocity", "POWER_DB")
    assert find_radar_columns(names, "a") == names


def test_channels_of_the_oculii_are_known() -> None:
    assert find_radar_columns(["x", "y", "z", *OCULII_CHANNELS], "a")[3:] == ("doppler", "power")


@pytest.mark.parametrize(
    ("values", "power"),
    [
        ({"snr": [30, 40, 50], "power": [1e3, 1e4, 1e5]}, "snr"),
        ({"snr": [1e3, 1e4, 1e5], "power": [30, 40, 50]}, "power"),  # of 0.1 dB or linear
        ({"snr": [0, 0, 0], "power": [30, 40, 50]}, "snr"),  # as in the next frame
        ({"snr": [np.nan, np.nan, 5], "power": [30, 40, 50]}, "power"),
        ({"snr": [3.4e38, 40, 50], "power": [30, 40, 50]}, "snr"),
        ({"snr": [0, 0, 0], "power": [1e3, 1e4, 1e5]}, "snr"),
        ({"snr": [1e3, 1e4, 1e5]}, "snr"),
    ],
)
def test_a_column_that_cannot_be_meant_gives_way(values: dict, power: str) -> None:
    table = {name: np.array([1.0, 2, 3]) for name in ("x", "y", "z", "v")}
    table |= {name: np.array(column, dtype=float) for name, column in values.items()}
    assert find_radar_columns(table, "a", table)[4] == power


def test_names_that_differ_by_spelling_are_not_guessed() -> None:
    assert find_radar_columns(["V", "v", "X", "x", "y", "z", "Power(dB)"], "a")[::3] == ("x", "v")
    assert find_radar_columns(["x", "y", "z", "V", "Power [dB]"], "a")[4] == "Power [dB]"
    with pytest.raises(InputError, match=r"^a: its columns SNR, Snr differ by spelling only"):
        find_radar_columns(["x", "y", "z", "v", "SNR", "Snr"], "a")


def test_columns_of_no_known_name_are_named() -> None:
    message = "^a: has no column doppler_mps, power_db by any usual name, --fields names them;"
    with pytest.raises(InputError, match=f"{message} there are: x, Y, z, v_r_compensated"):
        find_radar_columns(["x", "Y", "z", "v_r_compensated"], "a")
    with pytest.raises(InputError, match="there are: none"):
        find_radar_columns([], "a")


def test_fields_are_apart_by_commas() -> None:
    assert Fields.parse("x, y ,z,v,rcs").radar_names == ("x", "y", "z", "v", "rcs")
    for text in ("", "x,,z", "x,y,z,v,"):
        with pytest.raises(InputError, match=f"^--fields {text}: holds an empty name"):
            Fields.parse(text)
    with pytest.raises(InputError, match=r"^--fields x,y,z,v,v: holds v more than once"):
        Fields.parse("x,y,z,v,v")
    with pytest.raises(
        InputError, match=r"^--fields x,y: must be five names, for x, y, z, doppler"
    ):
        _ = Fields.parse("x,y").radar_names
