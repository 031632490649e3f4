"""Dense LiDAR-like point clouds from sparse 4D radar points."""

from importlib.metadata import version

__version__ = version("radarsparse")
