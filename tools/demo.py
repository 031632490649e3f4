"""The whole way on simulated data: simulate, train both stages, evaluate, enhance, draw."""

import argparse
import subprocess
import sys
from pathlib import Path

from radarsparse.cli import run
from radarsparse.data.prepared import PreparedFrames
from radarsparse.enhancer import Enhancer
from radarsparse.evaluation import crop
from radarsparse.io import write_cloud
from radarsparse.view import save_report

FRAMES = 200


def main() -> None:
    """Run the tools one after another; a second call goes on where the first one stopped."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("out/demo"), help="default: out/demo")
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    data, vae, edm = out / "data", out / "vae", out / "edm"
    root = f"data.root={data}"
    _tool("simulate", "--out", data, "--frames", FRAMES, "--seed", 0)
    _tool("train", "--config", "configs/demo_vae.yaml", "--out", vae, "--set", root)
    settings = ("--set", root, "--set", f"model.vae={vae}")
    _tool("train", "--config", "configs/demo_edm.yaml", "--out", edm, *settings)
    _tool("eval", "--checkpoint", edm, "--split", "test", "--out", out / "metrics.json")
    _show(edm, data, out)


def _tool(name: str, *arguments: object) -> None:
    words = [f"tools/{name}.py", *map(str, arguments)]
    print("$ python", *words, flush=True)
    status = subprocess.run([sys.executable, *words], check=False).returncode
    if status:
        sys.exit(status)


def _show(checkpoint: Path, data: Path, out: Path) -> None:
    """Enhance one frame of the test split and draw it between its radar and its LiDAR."""
    enhancer, pair = Enhancer.load(checkpoint), PreparedFrames.open(data, "test")[0]
    enhanced = enhancer(pair.radar).table
    write_cloud(out / "enhanced.ply", enhanced)
    radar = crop(pair.radar, enhancer.volume, "radar")
    lidar = crop(pair.lidar_in_radar_frame, enhancer.volume, "LiDAR")
    save_report(out / "report.png", radar, enhanced, lidar, f"simulated frame {pair.name}, unseen")
    print(f"wrote {out / 'enhanced.ply'}, {out / 'metrics.json'} and {out / 'report.png'}")


if __name__ == "__main__":
    run(main)
