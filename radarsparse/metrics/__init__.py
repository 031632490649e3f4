"""Nearest neighbours, metrics of a cloud against its LiDAR, and their tables."""

from radarsparse.metrics.cloud import evaluate, score
from radarsparse.metrics.match import Match, match_clouds
from radarsparse.metrics.nearest.operator import nearest, nearest_both
from radarsparse.metrics.summary import format_table, summarize, write_json

__all__ = [
    "Match",
    "evaluate",
    "format_table",
    "match_clouds",
    "nearest",
    "nearest_both",
    "score",
    "summarize",
    "write_json",
]
