"""Dense LiDAR-like point clouds from sparse 4D radar points."""

from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from radarsparse.enhancer import Enhancer

__version__ = version("radarsparse")

__all__ = ["Enhancer", "__version__"]


def __getattr__(name: str) -> Any:
    """Import `Enhancer` when it is asked for, since torch comes with it."""
    if name != "Enhancer":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from radarsparse.enhancer import Enhancer  # noqa: PLC0415  # see above

    return Enhancer
