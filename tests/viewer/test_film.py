from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from radarsparse.errors import InputError
from radarsparse.viewer.film import check_path, save_film, save_picture

RED, BLUE = (np.full((20, 30, 3), color, dtype=np.uint8) for color in ((250, 0, 0), (0, 0, 250)))


def test_a_picture_keeps_its_pixels(tmp_path: Path):
    path = tmp_path / "shot.png"
    save_picture(path, RED)
    np.testing.assert_array_equal(np.asarray(Image.open(path)), RED)


def test_a_film_has_its_pictures_in_order_at_its_speed(tmp_path: Path):
    path = tmp_path / "film.gif"
    save_film(path, iter([RED, BLUE, RED]), 4.0)
    with Image.open(path) as film:
        assert (film.n_frames, film.info["loop"]) == (3, 0)
        for place, color in enumerate([RED, BLUE, RED]):
            film.seek(place)
            assert film.info["duration"] == 250
            np.testing.assert_allclose(np.asarray(film.convert("RGB")), color, atol=4)


def test_a_film_that_fails_leaves_nothing(tmp_path: Path):
    def broken():
        yield RED
        raise InputError("frame 2: unreadable")

    with pytest.raises(InputError, match="frame 2"):
        save_film(tmp_path / "film.gif", broken(), 4.0)
    assert list(tmp_path.iterdir()) == []


def test_only_pictures_and_films_are_written(tmp_path: Path):
    check_path(tmp_path / "a.PNG")
    check_path(tmp_path / "a.gif")
    with pytest.raises(InputError, match=r"unknown suffix '\.mp4'; known: \.gif, \.png"):
        check_path(tmp_path / "a.mp4")
    with pytest.raises(InputError, match="no such folder"):
        check_path(tmp_path / "missing" / "a.png")
