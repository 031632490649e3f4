"""Scores of whole sets of clouds: a trained run on a split, or one folder against another."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from radarsparse.data.prepared import PreparedFrames, read_frame
from radarsparse.data.scan import ScanPair
from radarsparse.enhancer import Enhancer
from radarsparse.errors import InputError
from radarsparse.geometry import Volume
from radarsparse.io import list_clouds, read_cloud, read_prediction, read_radar
from radarsparse.metrics import evaluate, summarize

Cloud = NDArray[np.float32]
Scores = dict[str, dict[str, float]]

ROW_NAMES = {
    "raw": "raw radar",
    "regression": "regression",
    "pred": "enhanced",
    "reconstruction": "VAE reconstruction",
}


def evaluate_run(enhancer: Enhancer, frames: PreparedFrames, seed: int) -> dict[str, Any]:
    """Score raw radar, regression, enhanced clouds and VAE reconstruction on prepared frames.

    Args:
        enhancer: a trained run.
        frames: pairs to score, each cropped to the run's volume.
        seed: of the noise, the same for every frame.

    Raises:
        InputError: a frame has no radar or no LiDAR point in the volume.
    """
    per_frame = []
    for pair in tqdm(frames, desc="evaluate", unit="frame", disable=None):
        clouds = _clouds_of_run(enhancer, pair, seed)
        per_frame.append({"name": pair.name, **_score(clouds, pair, enhancer.volume)})
    return make_report(per_frame, enhancer.volume)


def evaluate_folders(pred: Path, target: Path, raw: Path | None, volume: Volume) -> dict[str, Any]:
    """Score the clouds of one folder against those of the same names in another.

    Prepared frames hold whole sweeps, so these are cropped to the volume; other files are taken
    as they are.

    Args:
        pred: predicted clouds, radar frame.
        target: LiDAR clouds, radar frame, or prepared frames.
        raw: radar clouds or prepared frames, if they are to be scored too.
        volume: the crop of prepared frames.

    Raises:
        InputError: a file can't be read, or a predicted cloud has no partner.
    """
    targets = _by_name(target)
    radars = _by_name(raw) if raw else {}
    per_frame = []
    for name, file in tqdm(_by_name(pred).items(), desc="evaluate", unit="frame", disable=None):
        truth = _read_target(_partner(targets, name, file, target), volume)
        distance_m = volume.range_max_m
        scores: Scores = {"pred": evaluate(read_prediction(file), truth, diagonal_m=distance_m)}
        if raw:
            radar = _read_raw(_partner(radars, name, file, raw), volume)
            scores["raw"] = evaluate(radar[:, :3], truth, diagonal_m=distance_m)
        per_frame.append({"name": name, **scores})
    return make_report(per_frame, volume)


def make_report(per_frame: list[dict[str, Any]], volume: Volume) -> dict[str, Any]:
    """Means over frames beside the scores of each frame, as `metrics.json` holds them."""
    kinds = [kind for kind in ROW_NAMES if kind in per_frame[0]]
    return {
        "frames": len(per_frame),
        "volume": {
            "minimum_m": volume.minimum_m,
            "maximum_m": volume.maximum_m,
            "azimuth_max_deg": float(np.degrees(volume.azimuth_max_rad)),
        },
        **{kind: summarize([frame[kind] for frame in per_frame]) for kind in kinds},
        "per_frame": per_frame,
    }


def table_rows(report: Mapping[str, Any]) -> dict[str, Mapping[str, float]]:
    """The rows of the printed table, from the worst that can be had to the ceiling."""
    return {title: report[kind] for kind, title in ROW_NAMES.items() if kind in report}


def crop(points: Cloud, volume: Volume, name: str) -> Cloud:
    """The points inside a volume.

    Raises:
        InputError: there are none.
    """
    inside = points[volume.contains(points)]
    if len(inside) == 0:
        raise InputError(
            f"{name}: none of {len(points)} points lies in the box {volume.minimum_m} .."
            f" {volume.maximum_m} m"
        )
    return inside


def _clouds_of_run(enhancer: Enhancer, pair: ScanPair, seed: int) -> dict[str, Cloud]:
    name = f"frame {pair.name}: radar"
    return {
        "raw": crop(pair.radar, enhancer.volume, name)[:, :3],
        "regression": enhancer.regress(pair.radar, name).table,
        "pred": enhancer(pair.radar, seed, name=name).table,
        "reconstruction": enhancer.reconstruct(pair).table,
    }


def _score(clouds: Mapping[str, Cloud], pair: ScanPair, volume: Volume) -> Scores:
    truth = crop(pair.lidar_in_radar_frame, volume, f"frame {pair.name}: LiDAR")
    return {
        kind: evaluate(cloud, truth, diagonal_m=volume.range_max_m)
        for kind, cloud in clouds.items()
    }


def _by_name(path: Path) -> dict[str, Path]:
    return unique_names(list_clouds(path))


def unique_names(files: Iterable[Path]) -> dict[str, Path]:
    """Files by their name without suffix.

    Raises:
        InputError: two files share a name.
    """
    named: dict[str, Path] = {}
    for file in files:
        if file.stem in named:
            raise InputError(f"{file}: shares its name with {named[file.stem].name}")
        named[file.stem] = file
    return named


def _partner(files: Mapping[str, Path], name: str, file: Path, folder: Path) -> Path:
    if name not in files:
        raise InputError(f"{file}: has no partner named {name} in {folder}")
    return files[name]


def _is_prepared(file: Path) -> bool:
    if file.suffix.lower() != ".npz":
        return False
    with np.load(file) as arrays:
        return "lidar" in arrays


def _read_target(file: Path, volume: Volume) -> Cloud:
    if _is_prepared(file):
        return crop(read_frame(file).lidar_in_radar_frame, volume, f"{file}: LiDAR")
    return read_cloud(file)


def _read_raw(file: Path, volume: Volume) -> Cloud:
    if _is_prepared(file):
        return crop(read_frame(file).radar, volume, f"{file}: radar")
    return read_radar(file)
