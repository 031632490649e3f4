"""Turn radar clouds, from files or a ROS bag, into LiDAR-like clouds with a trained run."""

import argparse
import hashlib
import logging
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from radarsparse.cli import Command, add_fields, add_lidar, read_fields
from radarsparse.config import LidarSettings, check_whole
from radarsparse.enhancer import COUNT_MOST, SEED_MOST, EnhancedCloud, Enhancer, Tiles
from radarsparse.errors import InputError
from radarsparse.files import Unfinished, count_of, replacing
from radarsparse.formats.bags.kinds import find_kind
from radarsparse.formats.bags.messages import Message
from radarsparse.formats.bags.topics import RadarTopic, open_radar_topic, read_radar_topic
from radarsparse.formats.bags.writing import encode_cloud, write_bag
from radarsparse.formats.clouds import is_bag, list_clouds, read_radar, unique_names, write_cloud
from radarsparse.formats.lidars import read_lidar
from radarsparse.formats.prepared import rigid_transform
from radarsparse.formats.tables import read_text
from radarsparse.geometry import transform_points
from radarsparse.models.weights import SHIPPED, find_model, run_folder
from radarsparse.parallel import side_by_side
from radarsparse.voxels.radar_input import InputHealth

EXAMPLES = """
radarsparse enhance --input radar.pcd --out clouds
radarsparse enhance --checkpoint runs/edm --input DIR --out clouds --format pcd --seed 1
radarsparse enhance --input radar.pcd --out clouds --samples 4
radarsparse enhance --input radar.pcd --out clouds --lidar hdl64
radarsparse enhance --input drive.bag --topic /radar_enhanced_pcl --out clouds
radarsparse enhance --input drive.mcap --format bag --out enhanced.mcap
"""
BAG_FORMAT = "bag"
BAG_TOPIC_SUFFIX = "_enhanced"
DRAWS_FOLDER = "draws"

_log = logging.getLogger("radarsparse")


class Radar(NamedTuple):
    """A radar cloud that is to be enhanced.

    Attributes:
        name: of the file of its result.
        source: what to call it in messages to the user.
        read: gives its points [n, 5], `RADAR_COLUMNS`, in the sensor's frame.
        write: writes the enhanced cloud to a file that appears whole or not at all.
    """

    name: str
    source: str
    read: Callable[[], NDArray[np.float32]]
    write: Callable[[Path, EnhancedCloud], None]


class Job(NamedTuple):
    """All that is to be enhanced.

    Attributes:
        clouds: one by one, always in the same order.
        total: how many they are.
        about: what they are, for a person.
        unfinished: where results gather, and what becomes of them.
    """

    clouds: Iterable[Radar]
    total: int
    about: str
    unfinished: Unfinished


def act(arguments: argparse.Namespace) -> Mapping[str, Any]:
    """Enhance every cloud; the folder or the bag appears when all are done.

    Returns:
        How many clouds were written and left out, or would be written, and where.
    """
    _check(arguments)
    T_radar_sensor = _read_transform(arguments.T_radar_sensor)
    job = (_open_bag if is_bag(arguments.input) else _open_files)(arguments, T_radar_sensor)
    job.unfinished.check()
    tiles = None
    if arguments.tile_m is not None:
        tiles = Tiles(arguments.tile_m, arguments.tile_overlap_m)
    enhancer = Enhancer.load(arguments.checkpoint, tiles).to(arguments.device)
    enhancer = enhancer.with_steps(arguments.steps)
    if arguments.lidar is not None:
        enhancer = enhancer.imitating(arguments.lidar)
    result = {"out": str(arguments.out), "topic": job.unfinished.claim.get("topic")}
    if arguments.dry_run:
        _try_first(job, arguments.skip_unusable)
        print(f"would write {count_of(job.total, 'cloud')} ({job.about}) to {arguments.out}")
        return {"clouds": job.total, "skipped": 0, "dry_run": True, **result}

    def enhance(radar: Radar) -> EnhancedCloud:
        points = transform_points(T_radar_sensor, radar.read())
        return enhancer(points, arguments.seed, samples=arguments.samples, name=radar.source)

    with job.unfinished.working() as results:
        skipped = _enhance_all(job, enhance, results, arguments)
    written, left_out = job.total - skipped, f", {skipped} left out" if skipped else ""
    print(f"wrote {count_of(written, 'cloud')} ({job.about}) to {arguments.out}{left_out}")
    return {"clouds": written, "skipped": skipped, "dry_run": False, **result}


def _tell_foreign(health: InputHealth | None, source: str, told: set[str]) -> None:
    """Say what is foreign in a radar cloud, unless all of it was told of another one before."""
    found = {finding.name for finding in health.foreign} if health else set()
    if found - told:
        told |= found
        _log.warning("%s: foreign input: %s (each kind is said once)", source, health)


def _try_first(job: Job, skip_unusable: bool) -> None:
    try:
        next(iter(job.clouds)).read()
    except InputError as error:
        if not skip_unusable:
            raise InputError(f"{error}; --skip-unusable leaves such clouds out") from error
        _log.warning("would be left out: %s", error)


def _check(arguments: argparse.Namespace) -> None:
    check_whole("--seed", arguments.seed, 0, SEED_MOST)
    if arguments.steps is not None:
        check_whole("--steps", arguments.steps, 1, COUNT_MOST)
    check_whole("--samples", arguments.samples, 0, COUNT_MOST)
    check_whole("--workers", arguments.workers, 1, COUNT_MOST)
    source, bag = arguments.input, arguments.format == BAG_FORMAT
    if bag and arguments.samples:
        raise InputError("--samples: draws are files, which --format bag has no place for")
    if not is_bag(source):
        if bag or arguments.topic:
            raise InputError(f"--input {source}: is no bag, which --format bag and --topic need")
    elif bag and arguments.out.suffix != find_kind(source).suffix:
        suffix = find_kind(source).suffix
        raise InputError(f"--out {arguments.out}: must end in {suffix}, as {source} is such")


def _read_transform(path: Path | None) -> NDArray[np.float64]:
    if path is None:
        return np.eye(4)
    rows = [line.split() for line in read_text(path).splitlines() if line.strip()]
    return rigid_transform(rows, str(path))


def _unfinished(
    arguments: argparse.Namespace, made_with: Mapping[str, Any], *assemble: Callable[[Path], Path]
) -> Unfinished:
    """The work that a later call goes on with; what its claim leaves out may be chosen anew."""
    weights = find_model(run_folder(arguments.checkpoint)).read_bytes()
    claim = {
        "input": str(arguments.input.resolve()),
        **made_with,
        "checkpoint": hashlib.sha256(weights).hexdigest()[:16],
        "seed": arguments.seed,
        "steps": arguments.steps,
        "samples": arguments.samples,
        "lidar": _name_lidar(arguments.lidar),
        "format": arguments.format,
        "tile_m": arguments.tile_m,
        "tile_overlap_m": arguments.tile_overlap_m,
        "T_radar_sensor": _read_transform(arguments.T_radar_sensor).tolist(),
    }
    return Unfinished(arguments.out, claim, *assemble)


def _name_lidar(lidar: str | None) -> str | None:
    """A LiDAR by its name, a file of one by what is in it, too."""
    if lidar is None:
        return None
    stated = read_lidar(lidar, LidarSettings()).model_dump_json()
    return f"{lidar} ({hashlib.sha256(stated.encode()).hexdigest()[:8]})"


def _open_files(arguments: argparse.Namespace, _: NDArray[np.float64]) -> Job:
    files = unique_names(list_clouds(arguments.input))
    fields = read_fields(arguments)
    clouds = [
        Radar(f"{name}.{arguments.format}", str(file), partial(read_radar, file, fields), _write)
        for name, file in files.items()
    ]
    size = sum(file.stat().st_size for file in files.values())
    made_with = {"input_bytes": size, "fields": arguments.fields, "bin_type": arguments.bin_type}
    return Job(clouds, len(clouds), str(arguments.input), _unfinished(arguments, made_with))


def _write(path: Path, cloud: EnhancedCloud) -> None:
    """Write a cloud after its draws, so that all are there once it is."""
    for number, draw in enumerate(cloud.draws):
        file = path.parent / DRAWS_FOLDER / f"{path.stem}_{number}{path.suffix}"
        file.parent.mkdir(exist_ok=True)
        write_cloud(file, draw.table, draw.probability)
    write_cloud(path, cloud.table, cloud.probability)


def _open_bag(arguments: argparse.Namespace, T_radar_sensor: NDArray[np.float64]) -> Job:
    fields = read_fields(arguments)
    columns = fields.radar_names if fields.names else None
    topic = open_radar_topic(arguments.input, arguments.topic, columns)
    about = f"{topic.name}, {', '.join(topic.columns)}"
    files = arguments.input.iterdir() if arguments.input.is_dir() else [arguments.input]
    size = sum(file.stat().st_size for file in files)
    made_with = {"input_bytes": size, "topic": topic.name, "fields": list(topic.columns)}
    if arguments.format != BAG_FORMAT:
        clouds, unfinished = (
            _file_clouds(topic, arguments.format),
            _unfinished(arguments, made_with),
        )
    else:
        clouds = _bag_clouds(topic, np.linalg.inv(T_radar_sensor).astype(np.float64))
        assemble = partial(_assemble_bag, topic, arguments.out.name)
        unfinished = _unfinished(arguments, made_with, assemble)
    return Job(clouds, topic.count, about, unfinished)


def _file_clouds(topic: RadarTopic, suffix: str) -> Iterator[Radar]:
    """The clouds of a topic, to be written to files that are named by their stamps."""
    numbers: dict[int, int] = {}
    for message in read_radar_topic(topic):
        other = numbers.setdefault(message.stamp_ns, message.number)
        if other != message.number:
            raise InputError(
                f"{message.source}: message {other} has the same stamp, and files are named by"
                " stamps; --format bag keeps both"
            )
        name = f"{message.stamp_ns}.{suffix}"
        yield Radar(name, message.source, message.read_points, _write)


def _bag_clouds(topic: RadarTopic, T_sensor_radar: NDArray[np.float64]) -> Iterator[Radar]:
    """The clouds of a topic, to be written as messages that a bag is then made of."""
    for message in read_radar_topic(topic):
        name = f"{message.number:08d}_{message.log_time_ns}.msg"
        write = partial(_write_message, message, T_sensor_radar)
        yield Radar(name, message.source, message.read_points, write)


def _write_message(
    message: Message, T_sensor_radar: NDArray[np.float64], path: Path, cloud: EnhancedCloud
) -> None:
    # Back in the frame that the header of the radar's message names.
    x, y, z = transform_points(T_sensor_radar, cloud.points).T
    columns = {"x": x, "y": y, "z": z}
    columns |= {"intensity": cloud.intensity, "probability": cloud.probability}
    with replacing(path) as part:
        part.write_bytes(encode_cloud(message, columns))


def _assemble_bag(topic: RadarTopic, name: str, results: Path) -> Path:
    bag = results.with_name("bag") / name
    bag.parent.mkdir(exist_ok=True)
    bag.unlink(missing_ok=True)  # of a call that was killed, as is the folder beside it
    shutil.rmtree(bag.with_suffix(""), ignore_errors=True)
    # What is before and behind `_` are the message's number, in eight digits, and its log time.
    paths = sorted(results.glob("*_*.msg"))
    messages = ((int(path.stem.partition("_")[2]), path.read_bytes()) for path in paths)
    write_bag(find_kind(topic.path), bag, topic.name + BAG_TOPIC_SUFFIX, messages)
    return bag


def _enhance_all(
    job: Job, enhance: Callable[[Radar], EnhancedCloud], results: Path, said: argparse.Namespace
) -> int:
    """Add the results that aren't there yet; returns how many clouds were left out."""

    def work(radar: Radar) -> tuple[Radar, InputHealth | InputError | None]:
        try:
            cloud = enhance(radar)
        except InputError as error:
            return radar, error
        radar.write(results / radar.name, cloud)
        return radar, cloud.health

    done, skipped, told = sum(1 for path in results.iterdir() if path.is_file()), 0, set[str]()
    missing = (radar for radar in job.clouds if not (results / radar.name).exists())
    with (
        tqdm(total=job.total, initial=done, desc="enhance", unit="cloud", disable=None) as progress,
        side_by_side(work, missing, said.workers) as finished,
    ):
        for radar, found in finished:
            if not isinstance(found, InputError):
                _tell_foreign(found, radar.source, told)
            elif said.skip_unusable:
                _log.warning("left out: %s", found)
                skipped += 1
            else:
                raise InputError(f"{found}; --skip-unusable leaves such clouds out") from found
            progress.update()
    if skipped == job.total:
        raise InputError(f"none of {count_of(skipped, 'cloud')} is usable ({job.about})")
    return skipped


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what is enhanced, by what and where to."""
    text = "run folder of stage edm, ect or distill (default: the weights that ship)"
    parser.add_argument("--checkpoint", default=SHIPPED, metavar="RUN", help=text)
    text = (
        "radar cloud (npz, npy, bin, ply, pcd, txt), a folder of them, prepared frames, or a bag"
        " (ROS 1: .bag; ROS 2: .mcap, .db3 or their folder); x forward, y left, z up, metres"
    )
    parser.add_argument("--input", type=Path, required=True, metavar="PATH", help=text)
    text = "new folder, or for --format bag a new file; the same command goes on if it was stopped"
    parser.add_argument("--out", type=Path, required=True, metavar="PATH", help=text)
    text = "of --out (default ply); bag: of the kind that --input is"
    formats = ("ply", "pcd", "npz", BAG_FORMAT)
    parser.add_argument("--format", choices=formats, default="ply", help=text)
    text = "sampler steps (default: the config's); weights whose cloud is a regression take none"
    parser.add_argument("--steps", type=int, metavar="N", help=text)
    text = "also draw so many clouds of what may be there, into the folder draws (default: none)"
    parser.add_argument("--samples", type=int, default=0, metavar="N", help=text)
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="default 0")
    add_lidar(parser)
    _add_input_arguments(parser)
    text = "device of the network, such as cuda (default: cpu)"
    parser.add_argument("--device", default="cpu", metavar="NAME", help=text)
    text = "work in tiles of this side, metres, where the volume doesn't fit into memory"
    parser.add_argument("--tile-m", type=float, metavar="M", help=text)
    text = "what is seen around a tile, metres (default: all that can matter)"
    parser.add_argument("--tile-overlap-m", type=float, metavar="M", help=text)
    text = "clouds side by side, each on one thread (default: 1, on all threads that torch takes)"
    parser.add_argument("--workers", type=int, default=1, metavar="N", help=text)
    parser.add_argument("--dry-run", action="store_true", help="check everything, write nothing")


def _add_input_arguments(parser: argparse.ArgumentParser) -> None:
    text = "of the radar in the bag (default: the only one that holds radar clouds)"
    parser.add_argument("--topic", metavar="NAME", help=text)
    add_fields(parser)
    text = (
        "text of 4x4 numbers that turns a sensor's frame into x forward, y left, z up (p_radar ="
        " T_radar_sensor @ p_sensor); a bag's clouds are turned back into the sensor's frame"
    )
    parser.add_argument("--T-radar-sensor", type=Path, metavar="FILE", help=text)
    text = "leave out clouds that can't be enhanced, instead of stopping at the first"
    parser.add_argument("--skip-unusable", action="store_true", help=text)


COMMAND = Command("enhance", str(__doc__), EXAMPLES, add_arguments, act)
