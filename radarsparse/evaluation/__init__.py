"""Scores of whole sets of clouds: a trained run on a split, or one folder against another."""

from radarsparse.evaluation.box import Box
from radarsparse.evaluation.folders import FolderFrames, Folders, parse_compared, unique_names
from radarsparse.evaluation.frames import Frame, Frames, crop
from radarsparse.evaluation.output import Output
from radarsparse.evaluation.report import make_report, table_rows
from radarsparse.evaluation.runs import RunFrames
from radarsparse.evaluation.score import FrameScores, score_frames
from radarsparse.evaluation.team import Team, assemble_team

__all__ = [
    "Box",
    "FolderFrames",
    "Folders",
    "Frame",
    "FrameScores",
    "Frames",
    "Output",
    "RunFrames",
    "Team",
    "assemble_team",
    "crop",
    "make_report",
    "parse_compared",
    "score_frames",
    "table_rows",
    "unique_names",
]
