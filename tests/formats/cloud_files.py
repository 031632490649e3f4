"""Radar and LiDAR clouds as files of every format, written by other programs."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from plyfile import PlyData, PlyElement
from pypcd4.pypcd4 import Encoding, PointCloud

RADAR = np.array([[6.25, 1.5, -0.5, 3.25, 47.0], [10.0, -2.0, 0.125, -1.5, 52.5]], dtype=np.float32)
CLOUD = np.array([[1.0, 2.0, 3.0, 0.0], [-4.5, 5.25, 6.125, 255.0]], dtype=np.float32)
RADAR_NAMES = ("x", "y", "z", "doppler_mps", "power_db")
CLOUD_NAMES = ("x", "y", "z", "intensity")

Writer = Callable[[Path, np.ndarray, tuple[str, ...]], None]


def records(points: np.ndarray, names: tuple[str, ...]) -> np.ndarray:
    return np.array([tuple(point) for point in points], dtype=[(name, "<f4") for name in names])


def put_ply(path: Path, points: np.ndarray, names: tuple[str, ...]) -> None:
    PlyData([PlyElement.describe(records(points, names), "vertex")]).write(str(path))


def put_ascii_ply(path: Path, points: np.ndarray, names: tuple[str, ...]) -> None:
    header = ["ply", "format ascii 1.0", f"element vertex {len(points)}"]
    header += [*(f"property double {name}" for name in names), "end_header"]
    path.write_text("\n".join([*header, *(" ".join(map(str, p)) for p in points.tolist()), ""]))


def put_pcd(path: Path, points: np.ndarray, names: tuple[str, ...]) -> None:
    PointCloud.from_points(points, names, [np.float32] * len(names)).save(path)


def put_ascii_pcd(path: Path, points: np.ndarray, names: tuple[str, ...]) -> None:
    cloud = PointCloud.from_points(points, names, [np.float32] * len(names))
    cloud.save(path, Encoding.ASCII)


def put_npy(path: Path, points: np.ndarray, names: tuple[str, ...]) -> None:
    np.save(path, points.astype(np.float64))


def put_bin(path: Path, points: np.ndarray, names: tuple[str, ...]) -> None:
    points.tofile(path)


def put_txt(path: Path, points: np.ndarray, names: tuple[str, ...]) -> None:
    rows = "\n".join(" ".join(map(str, point)) for point in points.tolist())
    path.write_text(f"\nX Y Z V_r Mag\n{rows}\n")


def put_npz(path: Path, points: np.ndarray, names: tuple[str, ...]) -> None:
    key = "radar" if len(names) == 5 else "points"
    np.savez(path, **{key: points, "T_radar_lidar": np.eye(4)})


NAMED: list[tuple[str, Writer]] = [
    (".ply", put_ply),
    (".ply", put_ascii_ply),
    (".pcd", put_pcd),
    (".pcd", put_ascii_pcd),
]
BOTH: list[tuple[str, Writer]] = [*NAMED, (".npy", put_npy), (".npz", put_npz), (".NPY", put_npy)]
RADAR_FORMATS: list[tuple[str, Writer]] = [*BOTH, (".bin", put_bin), (".txt", put_txt)]
