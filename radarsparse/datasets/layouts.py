"""Every layout that frames can be prepared from, by the name that users give."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

from radarsparse.datasets.astyx import open_astyx
from radarsparse.datasets.build import Source
from radarsparse.datasets.dual_radar import open_dual_radar_arbe, open_dual_radar_ars548
from radarsparse.datasets.folder import open_folder
from radarsparse.datasets.k_radar import open_k_radar
from radarsparse.datasets.msc_rad4r import open_msc_rad4r
from radarsparse.datasets.ntu4dradlm import open_ntu4dradlm
from radarsparse.datasets.snail_radar import open_snail_radar
from radarsparse.datasets.view_of_delft import open_view_of_delft


class Layout(NamedTuple):
    """The layout of a data set.

    Attributes:
        about: which data set, and in which files.
        holds: what its folder holds.
        open: finds the frames of a folder.
    """

    about: str
    holds: str
    open: Callable[[Path], Source]


LAYOUTS = {
    "astyx": Layout(
        "Astyx HiRes2019 (text files)",
        "folder with radar_6455, lidar_vlp16 and calibration",
        open_astyx,
    ),
    "ntu4dradlm": Layout(
        "NTU4DRadLM (ROS 1 bags), its enhanced radar clouds",
        "folder with calib and, per recording (garden, ...), a folder of bags and gt_odom.txt",
        open_ntu4dradlm,
    ),
    "ntu4dradlm-pcl": Layout(
        "NTU4DRadLM (ROS 1 bags), its plain radar clouds",
        "folder as for ntu4dradlm",
        partial(open_ntu4dradlm, topic="/radar_pcl"),
    ),
    "view-of-delft": Layout(
        "View-of-Delft (KITTI-like)", "folder with lidar and radar", open_view_of_delft
    ),
    "k-radar": Layout(
        "K-Radar (sparse radar clouds and Ouster PCD)",
        "folder with a folder per recording, 1 to 58",
        open_k_radar,
    ),
    "dual-radar-arbe": Layout(
        "Dual-Radar with its Arbe radar", "folder with training", open_dual_radar_arbe
    ),
    "dual-radar-ars548": Layout(
        "Dual-Radar with its ARS548 radar", "folder with training", open_dual_radar_ars548
    ),
    "snail-radar": Layout(
        "SNAIL-Radar (PCD files), Oculii Eagle and XT32",
        "folder with a folder per recording",
        open_snail_radar,
    ),
    "msc-rad4r": Layout(
        "MSC-RAD4R (ROS 1 bags), Oculii Eagle and OS1-128",
        "folder with a bag, or a folder of bags, per recording (URBAN_A0, ...), and calib",
        open_msc_rad4r,
    ),
    "folder": Layout(
        "any pairs of PCD, PLY, NPY or BIN files",
        "folder with layout.yaml, which names files, columns, calibration and split",
        open_folder,
    ),
}
