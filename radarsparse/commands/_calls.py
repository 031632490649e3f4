"""What commands share that run other commands one after another."""

import argparse
import subprocess
import sys
from pathlib import Path

from radarsparse.enhancer import Enhancer
from radarsparse.evaluation.frames import crop
from radarsparse.formats.clouds import write_cloud
from radarsparse.formats.prepared import PreparedFrames
from radarsparse.viewer.plots import save_report


def add_out(default: str, parser: argparse.ArgumentParser) -> None:
    """Add where to write."""
    text = f"folder for all that is made; a second call goes on there (default: {default})"
    parser.add_argument("--out", type=Path, default=Path(default), help=text)


def call(name: str, *arguments: object) -> None:
    """Run a command in a process of its own, so that its memory is free again afterwards.

    Args:
        name: of the command.
        arguments: that follow it.

    Raises:
        SystemExit: the command failed; the status is its own.
    """
    words = [name, *map(str, arguments)]
    print("$ radarsparse", *words, flush=True)
    # As sys.stdout, since with --json it is stderr.
    status = subprocess.run(
        [sys.executable, "-m", "radarsparse", *words], stdout=sys.stdout, check=False
    ).returncode
    if status:
        sys.exit(status)


def show_frame(checkpoint: str | Path, data: Path, metrics: Path) -> dict[str, str]:
    """Enhance a frame that training never saw and draw it between its radar and its LiDAR.

    Args:
        checkpoint: run folder, or `weights` for those that ship.
        data: simulated frames; the first one of the split `test` is shown.
        metrics: the scores that were written before; cloud and picture stand beside them.

    Returns:
        The files, by what they are.
    """
    pair = PreparedFrames.open(data, "test")[0]
    enhancer = Enhancer.load(checkpoint).beside(pair)
    found = enhancer(pair.radar)
    cloud, picture = (metrics.with_name(name) for name in ("enhanced.ply", "report.png"))
    write_cloud(cloud, found.table, found.probability)
    radar = crop(pair.radar, enhancer.volume, "radar")
    lidar = crop(pair.lidar_in_radar_frame, enhancer.volume, "LiDAR")
    save_report(picture, radar, found.table, lidar, f"simulated frame {pair.name}, unseen")
    print(f"wrote {cloud}, {metrics} and {picture}")
    return {"cloud": str(cloud), "metrics": str(metrics), "picture": str(picture)}
