"""Score enhanced clouds: against LiDAR, or against neighbouring radar scans where there is none."""

import argparse
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

from radarsparse.cli import (
    CONFIG_HELP,
    Command,
    add_fields,
    add_lidar,
    config_path,
    read_fields,
)
from radarsparse.config import (
    DenoiserConfig,
    VolumeSettings,
    check_whole,
    load_config,
    override_config,
)
from radarsparse.enhancer import SEED_MOST, Enhancer
from radarsparse.errors import InputError
from radarsparse.evaluation.consistency import Move, read_clips, score_clips
from radarsparse.evaluation.consistency_report import (
    consistency_csv_lines,
    describe_consistency,
    make_consistency_report,
)
from radarsparse.evaluation.crop import Cloud, CropBox
from radarsparse.evaluation.ego_motion import StaticScan, move_by_doppler
from radarsparse.evaluation.folders import FolderFrames, parse_compared
from radarsparse.evaluation.frames import (
    PREDICTION,
    RAW,
    FrameSource,
    describe_volume,
    frame_seed,
    frames_of_rows,
    rows_of_run,
)
from radarsparse.evaluation.pictures import save_pictures
from radarsparse.evaluation.realism import check_frames, describe_realism, score_realism
from radarsparse.evaluation.report import WORST, csv_lines, describe_report, make_report
from radarsparse.evaluation.scan_poses import read_poses
from radarsparse.evaluation.scans import POSES_FILE, ScanFolder
from radarsparse.evaluation.score import FrameScores, score_frames
from radarsparse.evaluation.workers import Workers, start_workers
from radarsparse.files import Unfinished, check_file, count_of
from radarsparse.formats.clouds import list_clouds, read_rows, unique_names
from radarsparse.formats.prepared import PreparedFrames
from radarsparse.geometry import Volume
from radarsparse.metrics.summary import RESAMPLES, write_csv, write_json
from radarsparse.models.weights import load_diffusion, run_folder

FOLDERS_ONLY = ("target", "raw", "fields", "bin_type", "compare", "crop", "config")
RUN_ONLY = ("split", "seed", "lidar")
SCANS_ONLY = ("poses", "rate_hz", "lidar")
NOT_WITH_SCANS = ("target", "raw", "compare", "crop", "split", "pictures", "realism", "worst")
RATE_MOST_HZ = 1000.0
SPLIT, SEED = "val", 0
# What pictures are made from, beside the frames.
CLAIMED = ("checkpoint", *RUN_ONLY, "pred", *FOLDERS_ONLY, "set", "worst")
EXAMPLES = """
radarsparse eval --checkpoint runs/edm --split val --out metrics.json
radarsparse eval --pred clouds --target DIR --raw DIR --out metrics.json --pictures pictures
radarsparse eval --checkpoint weights --scans DIR --rate-hz 10 --out metrics.json --dry-run
radarsparse eval --checkpoint weights --scans DIR --lidar hdl64 --out metrics.json --dry-run
radarsparse eval --pred A --compare other=B --target C --crop 0,-25,-3,50,25,3 --out metrics.json
torchrun --nproc-per-node=4 -m radarsparse eval --pred clouds --target DIR --out metrics.json
"""


def act(arguments: argparse.Namespace) -> Mapping[str, Any]:
    """Score, print the table and write the files.

    Returns:
        The file and what it holds, without the scores of each frame.
    """
    with start_workers(arguments.workers) as workers:
        _check(arguments)
        _check_places(arguments)
        if arguments.scans:
            return _act_on_scans(arguments, workers)
        frames = _open_folders(arguments) if arguments.pred else _open_run(arguments)
        if arguments.realism:
            check_frames(frames.names)
        if arguments.dry_run:
            if workers.leads:
                print(f"would score {count_of(len(frames.names), 'frame')}")
            return {"frames": len(frames.names), "dry_run": True}
        return _score(arguments, frames, workers)


def _score(
    arguments: argparse.Namespace, frames: FolderFrames | FrameSource, workers: Workers
) -> Mapping[str, Any]:
    with ExitStack() as stack:

        def begin_pictures() -> Path | None:
            asked = arguments.pictures and workers.leads
            return stack.enter_context(_unfinished(arguments).working()) if asked else None

        pictures = workers.together(begin_pictures)[0]
        if isinstance(frames, FolderFrames):
            frames = frames.check(workers)
        if arguments.realism:  # clouds are asked for once more, and may take seconds to make
            frames = replace(frames, read=cache(frames.read))
        scores = score_frames(frames, workers)
        return _report(arguments, frames, scores, pictures) if workers.leads else {}


def _report(
    arguments: argparse.Namespace,
    frames: FrameSource,
    scores: Sequence[FrameScores],
    pictures: Path | None,
) -> Mapping[str, Any]:
    report = make_report(scores, frames, arguments.resamples, _read_worst(arguments))
    if arguments.realism:
        report["realism"] = score_realism(frames, arguments.resamples)
    if arguments.csv:
        write_csv(arguments.csv, csv_lines(scores))
    if pictures:
        save_pictures(pictures, frames, report["worst"], scores)
    write_json(arguments.out, report)
    print(describe_report(report))
    if arguments.realism:
        print(describe_realism(report["realism"]))
    del report["per_frame"]
    return {"file": str(arguments.out), **report}


def _act_on_scans(arguments: argparse.Namespace, workers: Workers) -> Mapping[str, Any]:
    folder = ScanFolder.find(arguments.scans, read_fields(arguments))
    move, motion = _choose_motion(arguments, folder)
    make_cloud, volume = _choose_clouds(arguments, folder)
    if arguments.dry_run:
        scans, clips = len(folder.names), [clip.name for clip in folder.clips]
        if workers.leads:
            print(f"would score {count_of(scans, 'scan')} of {', '.join(clips)}")
        return {"frames": scans, "clips": clips, "dry_run": True}
    clips = read_clips(folder, move, workers)
    scores = score_clips(clips, make_cloud, volume, workers)
    if not workers.leads:
        return {}
    left_out = [clip.name for clip in folder.left_out]
    about = {**describe_volume(volume), "motion": motion, "left_out_clips": left_out}
    report = make_consistency_report(scores, clips, about, arguments.resamples)
    if arguments.csv:
        write_csv(arguments.csv, consistency_csv_lines(scores))
    write_json(arguments.out, report)
    print(describe_consistency(report))
    del report["per_frame"]
    return {"file": str(arguments.out), **report}


def _choose_motion(
    arguments: argparse.Namespace, folder: ScanFolder
) -> tuple[Move, Mapping[str, Any]]:
    """How the radar moved, and how the report says it."""
    rate_hz, path = arguments.rate_hz, arguments.poses or arguments.scans / POSES_FILE
    if rate_hz is not None:
        if not 0.0 < rate_hz <= RATE_MOST_HZ:
            most = f"at most {RATE_MOST_HZ:g}"
            raise InputError(f"--rate-hz {rate_hz:g}: must be positive and {most}")
        said = {"source": f"Doppler at {rate_hz:g} Hz", "rate_hz": rate_hz}
        return lambda _, scans: move_by_doppler(scans, rate_hz), said
    if not (arguments.poses or path.is_file()):
        raise InputError(f"{path}: no such file; give --poses FILE or, without poses, --rate-hz HZ")
    poses = read_poses(path)
    for clip in folder.clips:
        poses.steps(clip)
    return lambda clip, _: poses.steps(clip), {"source": f"poses of {path}"}


def _choose_clouds(
    arguments: argparse.Namespace, folder: ScanFolder
) -> tuple[Callable[[StaticScan], Cloud], Volume]:
    """What makes a scan's cloud, and the volume that all are cropped to."""
    if arguments.checkpoint:
        enhancer, _ = _open_enhancer(arguments)
        if arguments.lidar is not None:
            enhancer = enhancer.imitating(arguments.lidar)
        return partial(_enhance, enhancer, _read_seed(arguments)), enhancer.volume
    files = unique_names(list_clouds(arguments.pred))
    if missing := [name for name in folder.names if name not in files]:
        raise InputError(f"{arguments.pred}: holds no cloud of scan {missing[0]}")
    return lambda scan: read_rows(files[scan.name]), _read_volume(arguments)


def _enhance(enhancer: Enhancer, seed: int, scan: StaticScan) -> Cloud:
    return enhancer(scan.radar, frame_seed(seed, scan.name), name=f"scan {scan.name}").points


def _check(arguments: argparse.Namespace) -> None:
    if (arguments.checkpoint is None) == (arguments.pred is None):
        raise InputError(
            "give either --checkpoint RUN, or --pred DIR and --target DIR; --scans DIR goes with"
            " --checkpoint RUN or --pred DIR alone"
        )
    folders_only = [
        name for name in FOLDERS_ONLY if not (arguments.scans and name in ("fields", "bin_type"))
    ]
    names, way = (
        (folders_only, "--pred DIR") if arguments.checkpoint else (RUN_ONLY, "--checkpoint RUN")
    )
    _refuse(arguments, names, f"goes with {way}, which isn't given")
    if arguments.scans:
        _refuse(arguments, NOT_WITH_SCANS, "doesn't go with --scans DIR")
        if arguments.poses and arguments.rate_hz is not None:
            raise InputError("--rate-hz: moves scans by Doppler, --poses by poses; give one")
    else:
        _refuse(arguments, SCANS_ONLY, "goes with --scans DIR, which isn't given")
    if arguments.pred and arguments.set and not arguments.config:
        raise InputError("--set: goes with --checkpoint RUN or --config YAML; neither is given")
    check_whole("--resamples", arguments.resamples, 1, 10**6)
    _read_worst(arguments)


def _refuse(arguments: argparse.Namespace, names: Sequence[str], reason: str) -> None:
    for name in names:
        value = vars(arguments)[name]
        if not (value is None or value is False or value == []):  # 0 was given, too
            raise InputError(f"--{name.replace('_', '-')}: {reason}")


def _check_places(arguments: argparse.Namespace) -> None:
    check_file(arguments.out)
    if arguments.csv:
        check_file(arguments.csv)
        if arguments.csv.resolve() == arguments.out.resolve():
            raise InputError(f"--csv {arguments.csv}: is the file of --out")
    if arguments.pictures:
        _unfinished(arguments).check()


def _unfinished(arguments: argparse.Namespace) -> Unfinished:
    return Unfinished(arguments.pictures, {name: str(vars(arguments)[name]) for name in CLAIMED})


def _read_seed(arguments: argparse.Namespace) -> int:
    return check_whole("--seed", SEED if arguments.seed is None else arguments.seed, 0, SEED_MOST)


def _read_worst(arguments: argparse.Namespace) -> int:
    return check_whole("--worst", WORST if arguments.worst is None else arguments.worst, 0, 10**6)


def _open_enhancer(arguments: argparse.Namespace) -> tuple[Enhancer, DenoiserConfig]:
    network, config = load_diffusion(run_folder(arguments.checkpoint))
    changed = override_config(config, arguments.set)
    assert isinstance(changed, DenoiserConfig)
    return Enhancer(network, changed), changed


def _open_run(arguments: argparse.Namespace) -> FrameSource:
    seed = _read_seed(arguments)
    enhancer, config = _open_enhancer(arguments)
    data, split = config.data, arguments.split or SPLIT
    pairs = PreparedFrames.open(Path(data.root), split, data.split)
    rows = rows_of_run(enhancer, seed)
    return frames_of_rows(rows, pairs.names, pairs, enhancer.volume)


def _open_folders(arguments: argparse.Namespace) -> FolderFrames:
    if arguments.target is None:
        raise InputError("--pred needs --target DIR")
    folders = {PREDICTION: arguments.pred, **parse_compared(arguments.compare)}
    if arguments.raw:
        folders[RAW] = arguments.raw
    box = CropBox.parse(arguments.crop) if arguments.crop is not None else None
    found = FolderFrames.find(folders, arguments.target, box, _read_volume(arguments))
    return replace(found, fields=read_fields(arguments))


def _read_volume(arguments: argparse.Namespace) -> Volume:
    settings = VolumeSettings()
    if arguments.config:
        settings = load_config(arguments.config, arguments.set).volume
    return Volume.from_settings(settings)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what is scored against what, how, and where to."""
    add = parser.add_argument
    text = "run folder of stage edm, ect or distill, or `weights`, those that ship"
    add("--checkpoint", metavar="RUN", help=text)
    add("--split", help=f"frames of the run's data set (default: {SPLIT})")
    add("--seed", type=int, help=f"of the noise, each frame's own (default: {SEED})")
    add("--pred", type=Path, metavar="DIR", help="predicted clouds, radar frame")
    add("--target", type=Path, metavar="DIR", help="LiDAR clouds, radar frame, or prepared frames")
    add("--raw", type=Path, metavar="DIR", help="radar clouds or prepared frames, scored too")
    _add_scans(parser)
    add_fields(parser)
    text = "further predictions of the same frames, as row NAME; may be repeated"
    add("--compare", action="append", default=[], metavar="NAME=DIR", help=text)
    text = "crop all clouds to this box, metres (default: prepared frames to the config's volume)"
    add("--crop", metavar="X0,Y0,Z0,X1,Y1,Z1", help=text)
    text = f"with --pred: whose volume crops prepared frames; {CONFIG_HELP}"
    add("--config", type=config_path, metavar="YAML", help=text)
    text = "change engine, data.* or sampling.* of the run's config; may be repeated"
    add("--set", action="append", default=[], metavar="A.B=VALUE", help=text)
    add("--out", type=Path, required=True, metavar="FILE", help="metrics.json")
    _add_outputs(parser)


def _add_scans(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    text = "consecutive radar scans or prepared frames: score agreement between them, no LiDAR"
    add("--scans", type=Path, metavar="DIR", help=text)
    text = f"with --scans: name and trans or T_world_radar (default: {POSES_FILE} beside them)"
    add("--poses", type=Path, metavar="FILE", help=text)
    text = "with --scans: scans per second; they are moved by their Doppler, not by poses"
    add("--rate-hz", type=float, metavar="HZ", help=text)
    add_lidar(parser)


def _add_outputs(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--csv", type=Path, metavar="FILE", help="the scores of every frame, too")
    text = "measure how real the clouds look as a set, too; takes minutes"
    add("--realism", action="store_true", help=text)
    text = "new folder: curves of all distances, the worst frames in the colours of their errors"
    add("--pictures", type=Path, metavar="DIR", help=text)
    text = f"how many of the worst frames are named and drawn (default: {WORST})"
    add("--worst", type=int, metavar="N", help=text)
    text = f"draws of the bootstrap behind the 95 %% intervals (default: {RESAMPLES})"
    add("--resamples", type=int, default=RESAMPLES, metavar="N", help=text)
    add("--workers", type=int, metavar="N", help="frames side by side (default: number of cores)")
    add("--dry-run", action="store_true", help="say what would be scored")


COMMAND = Command("eval", str(__doc__), EXAMPLES, add_arguments, act)
