"""Voxels of prepared frames, kept in a folder so that no frame is voxelised twice."""

import hashlib
import logging
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from safetensors import numpy as safetensors

from radarsparse.errors import InputError
from radarsparse.files import replacing
from radarsparse.formats.prepared import FRAMES_FOLDER, PreparedFrames
from radarsparse.geometry import Volume
from radarsparse.voxels.batch import Batch, FrameVoxels, join_frames, voxelize_frame
from radarsparse.voxels.voxelize import Voxels

# To be raised when a frame gives other voxels, another observed mask or another footprint than
# before, be it by reading, by geometry or by features: what is kept is then made anew.
VOXELS_VERSION = 5

_CHECKSUM_BYTES = 4

_log = logging.getLogger("radarsparse")


@dataclass(frozen=True)
class VoxelCache:
    """The voxels of prepared frames, made when first asked for.

    An entry is found by a hash of all that it depends on: the frame's file, the volume, the
    versions of this code and of numpy. Another file, volume or version leads to another entry.

    Attributes:
        folder: of the entries, shared by frames, volumes and processes at will; made where missing.
        frames: whose voxels are asked for.
    """

    folder: Path
    frames: PreparedFrames

    def make_batch(
        self, numbers: Sequence[int], volume: Volume, rings_deg: Sequence[float] = ()
    ) -> Batch:
        """The batch of some frames; their points are read only if someone asks for them.

        Args:
            numbers: of the frames in `frames`.
            volume: where.
            rings_deg: as for `radarsparse.voxels.batch.make_batch`.

        Raises:
            InputError: a frame or the folder can't be used.
        """
        names = tuple(self.frames.names[number] for number in numbers)
        voxels = [self._find(number, volume) for number in numbers]
        return join_frames(voxels, replace(self.frames, names=names), volume, rings_deg)

    def _find(self, number: int, volume: Volume) -> FrameVoxels:
        key = self._key(number, volume)
        path = self.folder / f"{key}.voxels"
        if (kept := _read(path)) is not None:
            return kept
        voxels = voxelize_frame(self.frames[number], volume)
        # A frame that was replaced meanwhile would be kept under the name of the one before it.
        if self._key(number, volume) == key:
            _write(path, voxels)
        return voxels

    def _key(self, number: int, volume: Volume) -> str:
        source = self.frames.root / FRAMES_FOLDER / f"{self.frames.names[number]}.npz"
        try:
            content = source.read_bytes()
        except OSError as error:
            raise InputError(f"{source}: can't be read ({error.strerror})") from error
        made_by = f"{VOXELS_VERSION} {np.__version__} {volume}".encode()
        return hashlib.sha256(made_by + content).hexdigest()


def _read(path: Path) -> FrameVoxels | None:
    """What an entry holds; None if there is none, or one that is damaged."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InputError(f"data.cache: {path}: can't be read ({error.strerror})") from error
    checksum, packed = content[:_CHECKSUM_BYTES], content[_CHECKSUM_BYTES:]
    if checksum != _checksum(path, packed):
        _log.warning("%s: is damaged and made anew", path)
        return None
    arrays = safetensors.load(packed)
    radar, lidar = (
        Voxels(arrays[f"{sensor}_index"].astype(np.int64), arrays[f"{sensor}_feats"])
        for sensor in ("radar", "lidar")
    )
    footprint = arrays["footprint"]
    observed = np.unpackbits(arrays["observed_bits"], count=len(footprint)).astype(np.bool_)
    further = arrays["T_radar_lidar"], arrays["rings_deg"]
    return FrameVoxels(radar, lidar, observed, footprint, *further)


def _write(path: Path, voxels: FrameVoxels) -> None:
    arrays = {
        # A Volume's indices have 16 bits at most.
        "radar_index": voxels.radar.index.astype(np.uint16),
        "radar_feats": voxels.radar.feats,
        "lidar_index": voxels.lidar.index.astype(np.uint16),
        "lidar_feats": voxels.lidar.feats,
        "observed_bits": np.packbits(voxels.observed),
        "footprint": voxels.footprint,
        "T_radar_lidar": np.ascontiguousarray(voxels.T_radar_lidar),
        "rings_deg": voxels.rings_deg,
    }
    packed = safetensors.save(arrays)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as part:
            part.write_bytes(_checksum(path, packed) + packed)
    except OSError as error:
        raise InputError(f"data.cache: {path.parent}: can't be made ({error.strerror})") from error
    except InputError as error:
        needed = f"a frame needs {len(packed) / 1e3:.0f} kB there"
        raise InputError(f"data.cache: {error}; {needed}") from error


def _checksum(path: Path, packed: bytes) -> bytes:
    # The name belongs to it, so that an entry which was renamed isn't trusted either.
    return zlib.crc32(packed, zlib.crc32(path.name.encode())).to_bytes(_CHECKSUM_BYTES, "big")
