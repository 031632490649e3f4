"""Nearest neighbours, metrics of a cloud against its LiDAR, and their tables."""

from radarsparse.metrics.cloud import evaluate
from radarsparse.metrics.nearest import nearest
from radarsparse.metrics.report import format_table, summarize, write_json

__all__ = ["evaluate", "format_table", "nearest", "summarize", "write_json"]
