"""Where the scores go: the printed table, `metrics.json`, CSV and pictures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from radarsparse.errors import InputError
from radarsparse.evaluation.frames import FrameSource
from radarsparse.evaluation.pictures import check_new_folder, save_pictures
from radarsparse.evaluation.report import csv_lines, describe_gaps, make_report, table_rows
from radarsparse.evaluation.score import FrameScores
from radarsparse.metrics import format_table, write_json
from radarsparse.metrics.summary import write_csv


@dataclass(frozen=True)
class Output:
    """What is written.

    Attributes:
        json: `metrics.json`.
        csv: the scores of each frame, if asked for.
        pictures: new folder for pictures, if asked for.
        resamples: of the bootstrap.
        worst: how many of the worst frames are named and drawn.
    """

    json: Path
    csv: Path | None
    pictures: Path | None
    resamples: int
    worst: int

    def check(self) -> None:
        """Make sure that everything can be written, before the work begins.

        Raises:
            InputError: a folder is missing, a name is taken, or a number is out of bounds.
        """
        for option, number, least in (
            ("--resamples", self.resamples, 1),
            ("--worst", self.worst, 0),
        ):
            if number < least:
                raise InputError(f"{option} {number}: must be {least} or more")
        _check_file("--out", self.json)
        if self.csv:
            _check_file("--csv", self.csv)
            if self.csv.resolve() == self.json.resolve():
                raise InputError(f"--csv {self.csv}: is the file of --out")
        if self.pictures:
            check_new_folder(self.pictures)

    def write(self, scores: Sequence[FrameScores], frames: FrameSource) -> str:
        """Write all files.

        Returns:
            What to print.

        Raises:
            InputError: a file can't be written, or a frame can't be read again.
        """
        report = make_report(scores, frames, self.resamples, self.worst)
        if self.pictures:
            save_pictures(self.pictures, frames, report["worst"], scores)
        if self.csv:
            write_csv(self.csv, csv_lines(scores))
        write_json(self.json, report)
        return _describe(report)


def _check_file(option: str, path: Path) -> None:
    if not path.parent.is_dir():
        raise InputError(f"{option} {path}: no such folder: {path.parent}")
    if path.is_dir():
        raise InputError(f"{option} {path}: is a folder, a file expected")


def _describe(report: Mapping[str, Any]) -> str:
    lines = [f"{report['frames']} frames", format_table(table_rows(report))]
    if gaps := describe_gaps(report):
        lines.append(gaps)
    if report["worst"]:
        lines.append(f"worst by Chamfer sum: {', '.join(report['worst'])}")
    return "\n".join(lines)
