"""Scores of whole sets of clouds: a trained run on a split, or one folder against another."""

from radarsparse.evaluation.crop import CropBox
from radarsparse.evaluation.folders import FolderFrames, Folders, parse_compared
from radarsparse.evaluation.frames import FrameClouds, FrameSource, crop
from radarsparse.evaluation.output import Output
from radarsparse.evaluation.report import make_report, table_rows
from radarsparse.evaluation.runs import RunFrames
from radarsparse.evaluation.score import FrameScores, score_frames
from radarsparse.evaluation.workers import Workers, start_workers

__all__ = [
    "CropBox",
    "FolderFrames",
    "Folders",
    "FrameClouds",
    "FrameScores",
    "FrameSource",
    "Output",
    "RunFrames",
    "Workers",
    "crop",
    "make_report",
    "parse_compared",
    "score_frames",
    "start_workers",
    "table_rows",
]
