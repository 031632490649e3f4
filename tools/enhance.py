"""Turn radar clouds into LiDAR-like clouds with a trained run."""

import argparse
import shutil
from pathlib import Path

from tqdm import tqdm

from radarsparse.cli import run
from radarsparse.enhancer import Enhancer, Tiles
from radarsparse.errors import InputError
from radarsparse.evaluation import unique_names
from radarsparse.io import list_clouds, read_radar, write_cloud


def main() -> None:
    """Parse the arguments and enhance every cloud; the folder appears when all are done."""
    arguments = _parse()
    if arguments.steps is not None and arguments.steps < 1:
        raise InputError(f"--steps {arguments.steps}: must be 1 or more")
    if arguments.seed < 0:
        raise InputError(f"--seed {arguments.seed}: must be 0 or more")
    files = unique_names(list_clouds(arguments.input))
    if arguments.out.exists() and (not arguments.out.is_dir() or any(arguments.out.iterdir())):
        raise InputError(f"{arguments.out}: exists with other contents; choose another --out")
    tiles = None
    if arguments.tile_m is not None:
        tiles = Tiles(arguments.tile_m, arguments.tile_overlap_m)
    enhancer = Enhancer.load(arguments.checkpoint, tiles)
    if arguments.dry_run:
        print(f"would write {len(files)} clouds to {arguments.out}")
        return
    partial = arguments.out.with_name(arguments.out.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        _enhance_all(enhancer, files, partial, arguments)
    except BaseException:
        shutil.rmtree(partial)
        raise
    if arguments.out.exists():
        arguments.out.rmdir()
    partial.rename(arguments.out)
    print(f"wrote {len(files)} clouds to {arguments.out}")


def _enhance_all(
    enhancer: Enhancer, files: dict[str, Path], folder: Path, arguments: argparse.Namespace
) -> None:
    for name, file in tqdm(files.items(), desc="enhance", unit="cloud", disable=None):
        cloud = enhancer(read_radar(file), arguments.seed, arguments.steps, str(file))
        write_cloud(folder / f"{name}.{arguments.format}", cloud.table)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--checkpoint", type=Path, required=True, metavar="RUN", help="run folder of stage edm"
    )
    parser.add_argument(
        "--input",
        type=Path,
        required=True,
        metavar="FILE_OR_FOLDER",
        help="radar cloud (npz, npy, bin, ply, pcd, txt), a folder of them, or prepared frames",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="new folder")
    parser.add_argument("--steps", type=int, metavar="N", help="sampler steps (default: config's)")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="default 0")
    text = "work in tiles of this side, metres, where the volume doesn't fit into memory"
    parser.add_argument("--tile-m", type=float, metavar="M", help=text)
    text = "what is seen around a tile, metres (default: all that can matter)"
    parser.add_argument("--tile-overlap-m", type=float, metavar="M", help=text)
    parser.add_argument("--format", choices=("ply", "pcd", "npz"), default="ply")
    parser.add_argument("--dry-run", action="store_true", help="check everything, write nothing")
    return parser.parse_args()


if __name__ == "__main__":
    run(main)
