"""What goes wrong between rosbags and a user's bag, as the user's errors."""

from collections.abc import Iterator
from contextlib import contextmanager

from radarsparse.errors import InputError


@contextmanager
def naming_damage(source: str, kind: str) -> Iterator[None]:
    """A block in which whatever rosbags raises becomes an `InputError`.

    Args:
        source: what is read in the block, for the error.
        kind: what it's expected to be, such as `ROS 1 bag`.

    Raises:
        InputError: rosbags isn't installed, or the block raised something.
    """
    _require_rosbags()
    try:
        yield
    except InputError:
        raise
    except Exception as error:  # damaged bags make rosbags raise nearly anything
        # Its parser quotes the whole definition from the second line on.
        line = str(error).partition("\n")[0]
        raise InputError(
            f"{source}: is damaged, cut off or no {kind} ({type(error).__name__}: {line})"
        ) from error


def _require_rosbags() -> None:
    try:
        import rosbags  # noqa: F401, PLC0415 (an extra)
    except ImportError as error:
        raise InputError(
            "the package rosbags is missing: pip install 'radarsparse[ros]'"
        ) from error
