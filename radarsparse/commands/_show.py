"""What demonstrations end with: a cloud and a picture of it."""

from pathlib import Path

from radarsparse.enhancer import Enhancer
from radarsparse.evaluation import crop
from radarsparse.formats.clouds import write_cloud
from radarsparse.formats.prepared import PreparedFrames
from radarsparse.viewer.plots import save_report


def show_frame(checkpoint: str | Path, data: Path, out: Path) -> tuple[Path, Path]:
    """Enhance a frame that training never saw and draw it between its radar and its LiDAR.

    Args:
        checkpoint: run folder, or `weights` for those that ship.
        data: simulated frames; the first one of the split `test` is shown.
        out: folder of the files.

    Returns:
        The cloud and the picture.
    """
    enhancer, pair = Enhancer.load(checkpoint), PreparedFrames.open(data, "test")[0]
    found = enhancer(pair.radar)
    cloud, picture = out / "enhanced.ply", out / "report.png"
    write_cloud(cloud, found.table, found.probability)
    radar = crop(pair.radar, enhancer.volume, "radar")
    lidar = crop(pair.lidar_in_radar_frame, enhancer.volume, "LiDAR")
    save_report(picture, radar, found.table, lidar, f"simulated frame {pair.name}, unseen")
    return cloud, picture
