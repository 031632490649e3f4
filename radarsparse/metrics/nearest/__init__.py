"""Exact nearest neighbours between clouds."""

from radarsparse.metrics.nearest.operator import nearest, nearest_both

__all__ = ["nearest", "nearest_both"]
