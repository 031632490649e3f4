import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from radarsparse.config import Config, validate_config
from radarsparse.errors import InputError
from radarsparse.formats.prepared import PreparedFrames
from radarsparse.scan import ScanPair
from radarsparse.training.devices import Rank
from radarsparse.training.loader import Microbatch, TrainingSamples, load_batches, plan_windows
from radarsparse.voxels.batch import Batch
from radarsparse.voxels.beams import Beams
from tests.conftest import tiny_config


def config_of(samples: int, batch_size: int, accumulate: int, **train: object) -> Config:
    raw = tiny_config(Path("unused"), "vae").model_dump(mode="json")
    lengths = {"samples": samples, "batch_size": batch_size, "accumulate": accumulate}
    raw["train"] |= lengths | train
    return validate_config(raw, "test")


@settings(max_examples=60, deadline=None)
@given(
    samples=st.integers(1, 40),
    batch_size=st.integers(1, 4),
    accumulate=st.integers(1, 3),
    world_size=st.integers(1, 3),
)
def test_windows_deal_every_sample_once_over_the_processes(
    samples: int, batch_size: int, accumulate: int, world_size: int
) -> None:
    config = config_of(samples, batch_size, accumulate)
    plans = [list(plan_windows(config, 0, Rank(r, world_size))) for r in range(world_size)]
    assert len({len(plan) for plan in plans}) == 1
    dealt = []
    for windows in zip(*plans, strict=True):
        assert len({(window.seen, window.count) for window in windows}) == 1
        own = [each for window in windows for each in window.microbatches]
        dealt += [number for each in own if each.weight > 0 for number in each.samples]
        assert all(len(each.samples) <= batch_size for each in own)
        assert all(window.microbatches for window in windows)
        # The devices' mean weighs every sample alike.
        share = world_size / windows[0].count
        assert [each.weight for each in own if each.weight > 0] == pytest.approx(
            [len(each.samples) * share for each in own if each.weight > 0]
        )
    assert sorted(dealt) == list(range(samples))


def test_a_resumed_plan_is_the_rest_of_the_whole_plan() -> None:
    config = config_of(23, 2, 2)
    whole = list(plan_windows(config, 0, Rank()))
    assert list(plan_windows(config, whole[2].seen, Rank())) == whole[2:]
    assert whole[-1].count == 3
    assert [each.samples for each in whole[-1].microbatches] == [(20, 21), (22,)]


def test_voxel_sizes_follow_each_other_and_no_window_has_two() -> None:
    steps = [
        {"voxel_size_m": 0.4, "until_samples": 5},
        {"voxel_size_m": 0.1, "until_samples": 9},
    ]
    windows = list(plan_windows(config_of(14, 2, 2, voxel_steps=steps), 0, Rank()))
    sizes = [
        (window.count, {each.voxel_size_m for each in window.microbatches}) for window in windows
    ]
    assert sizes == [(4, {0.4}), (1, {0.4}), (4, {0.1}), (4, {0.2}), (1, {0.2})]


def test_voxel_steps_must_ascend_within_the_run() -> None:
    steps = [{"voxel_size_m": 0.4, "until_samples": 9}, {"voxel_size_m": 0.2, "until_samples": 9}]
    with pytest.raises(InputError, match=r"voxel_steps end at \[9, 9\] samples; they must ascend"):
        config_of(14, 2, 2, voxel_steps=steps)
    with pytest.raises(InputError, match="end before the run's 9"):
        config_of(9, 2, 2, voxel_steps=steps[:1])


def test_voxel_steps_must_fill_the_volume() -> None:
    steps = [{"voxel_size_m": 0.3, "until_samples": 4}]
    with pytest.raises(
        InputError, match=r"side 0.0 .. 12.8 m holds 5.33333 lattice cells of 2.4 m"
    ):
        config_of(14, 2, 2, voxel_steps=steps)


MICROBATCHES = [
    Microbatch((0, 1), 0.2, 1.0),
    Microbatch((2,), 0.4, 1.0),
    Microbatch((11, 5, 3), 0.2, 1.0),
]


def test_workers_make_the_same_batches_in_the_same_order(frames: Path) -> None:
    samples = TrainingSamples(PreparedFrames.open(frames, "train"), tiny_config(frames, "vae"))
    made = [list(load_batches(samples, iter(MICROBATCHES), workers)) for workers in (0, 2)]
    for here, there in zip(*made, strict=True):
        assert torch.equal(here.lidar.feats, there.lidar.feats)
        assert torch.equal(here.radar.coords, there.radar.coords)
        assert here.volume == there.volume
    assert [len(batch.pairs) for batch in made[0]] == [2, 1, 3]
    assert [batch.volume.voxel_size_m for batch in made[0]] == [0.2, 0.4, 0.2]


def test_there_are_no_more_workers_than_cores(
    frames: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Otherwise torch warns.
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0})
    samples = TrainingSamples(PreparedFrames.open(frames, "train"), tiny_config(frames, "vae"))
    assert len(list(load_batches(samples, iter(MICROBATCHES), 3))) == len(MICROBATCHES)


@pytest.mark.parametrize("gpu", [False, True])
def test_batches_are_pinned_where_there_is_a_gpu(
    gpu: bool, frames: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def load(_: object, **options: object) -> list[Batch]:
        asked.append(options["pin_memory"])
        return []

    monkeypatch.setattr("radarsparse.training.loader.DataLoader", load)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    samples = TrainingSamples(PreparedFrames.open(frames, "train"), tiny_config(frames, "vae"))
    assert list(load_batches(samples, iter(MICROBATCHES), 0)) == []
    assert asked == [gpu]


def samples_of(frames: Path, **augment: float) -> TrainingSamples:
    raw = tiny_config(frames, "vae").model_dump(mode="json")
    raw["data"]["augment"] |= augment
    return TrainingSamples(PreparedFrames.open(frames, "train"), validate_config(raw, "test"))


OFF = {
    "mirror": 0.0,
    "yaw_max_deg": 0.0,
    "shift_std_m": 0.0,
    "radar_dropout": 0.0,
}


def samples_with_cache(frames: Path, folder: Path | None, **augment: float) -> TrainingSamples:
    raw = tiny_config(frames, "edm", vae="unused").model_dump(mode="json")
    raw["data"]["augment"] |= augment
    raw["data"]["cache"] = None if folder is None else str(folder)
    return TrainingSamples(PreparedFrames.open(frames, "train"), validate_config(raw, "test"))


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_from_the_cache_are_those_without_one(
    workers: int, frames: Path, tmp_path: Path
) -> None:
    # Both workers want the same frames at once, first to fill the cache and then from it.
    asked = [Microbatch((0, 1, 2, 3, 4, 5), 0.2, 1.0)] * 4 + [
        *MICROBATCHES,
        Microbatch((7, 6), 0.4, 1.0),
    ]
    plain = samples_with_cache(frames, None, **OFF)
    cached = samples_with_cache(frames, tmp_path / "voxels", **OFF)
    made = [list(load_batches(samples, iter(asked), workers)) for samples in (plain, cached)]
    for anew, kept in zip(*made, strict=True):
        for name in ("radar", "lidar", "cells"):
            assert torch.equal(getattr(anew, name).coords, getattr(kept, name).coords)
            assert torch.equal(getattr(anew, name).feats, getattr(kept, name).feats)
        assert torch.equal(anew.observed, kept.observed)
        for pair, other in zip(anew.pairs, kept.pairs, strict=True):
            assert pair.name == other.name
            assert np.array_equal(pair.radar, other.radar)
    # Six frames at 0.2 m and three of them at 0.4 m; nothing half-written is left.
    names = [path.name for path in (tmp_path / "voxels").iterdir()]
    assert len(names) == 9
    assert all(name.endswith(".voxels") and not name.startswith(".") for name in names)


def test_frames_that_augmentation_changes_are_voxelised_anew(
    frames: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    told = samples_with_cache(frames, tmp_path / "voxels", **{**OFF, "mirror": 1.0})
    assert [record.getMessage() for record in caplog.records] == [
        f"data.cache = {tmp_path / 'voxels'}: is not used, since data.augment makes every frame"
        " a new one"
    ]
    (kept,) = load_batches(told, iter(MICROBATCHES[:1]), 0)
    (plain,) = load_batches(
        samples_with_cache(frames, None, **{**OFF, "mirror": 1.0}), iter(MICROBATCHES[:1]), 0
    )
    assert torch.equal(kept.radar.feats, plain.radar.feats)
    assert not (tmp_path / "voxels").exists()


@pytest.mark.parametrize("stage", ["vae", "edm"])
def test_networks_in_training_are_told_of_the_beams_of_each_changed_frame(
    stage: str, frames: Path
) -> None:
    model = {} if stage == "vae" else {"vae": "unused"}
    raw = tiny_config(frames, stage, **model).model_dump(mode="json")
    raw["lidar"] = {"rings_deg": (-20.0, -5.0, 5.0), "position_m": (9.0, 9.0, 9.0)}
    samples = TrainingSamples(PreparedFrames.open(frames, "train"), validate_config(raw, "test"))
    (batch,) = load_batches(samples, iter(MICROBATCHES[:1]), 0)
    mounts = [pair.T_radar_lidar for pair in batch.pairs]
    assert not np.array_equal(*mounts)
    expected = Beams.of([(-20.0, -5.0, 5.0)] * len(mounts), mounts, batch.volume)
    assert torch.equal(batch.beams.rings_rad, expected.rings_rad)
    assert torch.equal(batch.beams.T_lidar_voxels, expected.T_lidar_voxels)
    assert batch.beams.crossed(batch.lattice.support, 4).any()


def drawn(samples: TrainingSamples, numbers: Iterable[int]) -> list[ScanPair]:
    made = samples[Microbatch(tuple(numbers), 0.2, 1.0)]
    assert isinstance(made, Batch)
    return list(made.pairs)


def test_the_frame_that_is_mixed_in_depends_on_seed_and_sample_only(frames: Path) -> None:
    mixed, again = (drawn(samples_of(frames, mixup=1.0), range(60)) for _ in range(2))
    alone = [drawn(samples_of(frames, mixup=1.0), [number])[0] for number in range(60)]
    for others in (again, alone):
        for pair, other in zip(mixed, others, strict=True):
            assert pair.name == other.name
            assert np.array_equal(pair.radar, other.radar)
            assert np.array_equal(pair.lidar, other.lidar)
    names = [pair.name.split("+") for pair in mixed]
    assert {first for first, *_ in names[:6]} == {f"{index:06d}" for index in range(6)}
    # Every frame meets every other sooner or later, and never itself.
    seconds = [name[1] for name in names if len(name) == 2]
    assert set(seconds) == {f"{index:06d}" for index in range(6)}
    assert 40 <= len(seconds) < 60
    assert all(len(set(name)) == len(name) for name in names)


def test_mixing_happens_as_often_as_asked_and_leaves_the_motions(frames: Path) -> None:
    plain = drawn(samples_of(frames), range(90))
    mixed = drawn(samples_of(frames, mixup=0.4), range(90))
    assert not any("+" in pair.name for pair in plain)
    assert 20 <= sum("+" in pair.name for pair in mixed) <= 40  # 30 expected, 4.5 per error
    for before, after in zip(plain, mixed, strict=True):
        assert after.name.split("+")[0] == before.name
        assert np.array_equal(after.T_radar_lidar, before.T_radar_lidar)
        if "+" not in after.name:
            assert np.array_equal(after.radar, before.radar)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_frame_that_can_not_be_used_is_named(workers: int, frames: Path, tmp_path: Path) -> None:
    root = tmp_path / "data"
    (root / "frames").mkdir(parents=True)
    (root / "split.yaml").write_text("train: [[0, 0]]\n")
    np.savez(root / "frames" / "000000.npz", radar=np.zeros((1, 4)))
    config = tiny_config(root, "vae")
    samples = TrainingSamples(PreparedFrames.open(root, "train"), config)
    with pytest.raises(InputError, match=r"000000.npz: ") as caught:
        list(load_batches(samples, iter(MICROBATCHES), workers))
    assert "\n" not in str(caught.value)


class Dying(TrainingSamples):
    def __getitem__(self, microbatch: Microbatch) -> InputError:
        os._exit(9)


def test_a_worker_that_dies_is_told(frames: Path) -> None:
    samples = Dying(PreparedFrames.open(frames, "train"), tiny_config(frames, "vae"))
    with pytest.raises(InputError, match=r"a process that loads data died .+train\.workers = 0"):
        list(load_batches(samples, iter(MICROBATCHES), 1))
