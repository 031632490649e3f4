from collections.abc import Sequence
from itertools import product

import numpy as np
import pytest
import torch
from scipy.spatial import KDTree

from radarsparse.benchmark.birds_eye import (
    COLUMN_CHANNELS,
    STRIDE,
    BirdsEye,
    BirdsEyeUnet,
    choose_likeliest,
    lidar_grid,
    make_example,
    occupancy_loss,
    radar_grid,
    shares_of_time,
    train_birds_eye,
    view_grid,
    voxel_centers,
)
from radarsparse.config import AugmentSettings, DenoiserConfig, LidarSettings
from radarsparse.errors import InputError
from radarsparse.formats.prepared import PreparedFrames
from radarsparse.geometry import Volume, observed_mask, transform_points
from radarsparse.models.flags import choose_flags
from radarsparse.models.state import State
from radarsparse.scan import ScanPair
from radarsparse.voxels.scene import lattice
from tests.conftest import TINY_VOLUME, tiny_config, tiny_pair

VOLUME = Volume(tuple(TINY_VOLUME["minimum_m"]), tuple(TINY_VOLUME["maximum_m"]), 0.2, 1.0)
SHAPE = (32, 32, 8)  # x, y, heights


def mixed_points() -> np.ndarray:
    """Radar points in and out of the volume and its view, several in a column."""
    random = np.random.default_rng(3)
    xyz = random.uniform([-2, -8, -2], [14, 8, 2], (300, 3))
    xyz[100:200] = xyz[:100] + random.normal(0, 0.2, (100, 3))
    points = np.c_[xyz, random.normal(0, 3, 300), random.uniform(40, 80, 300)]
    return points.astype(np.float32)


def slow_radar_grid(points: np.ndarray) -> np.ndarray:
    columns: dict[tuple[int, int], list[np.ndarray]] = {}
    grid = np.zeros((SHAPE[2] + COLUMN_CHANNELS, *SHAPE[:2]))
    for point in points[VOLUME.contains(points)].astype(np.float64):
        x, y, z = (int(place) for place in np.floor((point[:3] - VOLUME.minimum_m) / 0.4))
        grid[z, x, y] += 1
        columns.setdefault((x, y), []).append(point)
    grid[: SHAPE[2]] = np.log(1 + grid[: SHAPE[2]])
    for (x, y), inside in columns.items():
        grid[-3, x, y] = sum(point[3] for point in inside) / len(inside) / 5
        grid[-2, x, y] = max((point[4] - 60) / 10 for point in inside)
    for x, y in product(range(SHAPE[0]), range(SHAPE[1])):
        grid[-1, x, y] = np.hypot(0.4 * (x + 0.5), 0.4 * (y + 0.5) - 6.4) / VOLUME.range_max_m
    return grid


def test_a_grid_holds_what_a_slow_loop_finds() -> None:
    points = mixed_points()
    grid = radar_grid(points, VOLUME)
    assert grid.dtype == np.float32
    assert grid[: SHAPE[2]].max() > np.log(2)  # several points in a voxel
    assert grid[-2].min() < 0  # the largest power of a column below the centre stays
    assert np.allclose(grid, slow_radar_grid(points), atol=1e-6)


def test_a_grid_without_points_holds_the_range_alone() -> None:
    grid = radar_grid(np.zeros((0, 5), dtype=np.float32), VOLUME)
    assert not grid[:-1].any()
    assert grid[-1].min() > 0


def test_truth_is_where_returns_are_and_centres_lead_back() -> None:
    points = tiny_pair(0).lidar_in_radar_frame
    inside = points[VOLUME.contains(points), :3].astype(np.float64)
    voxels = {tuple(np.floor((p - VOLUME.minimum_m) / 0.4).astype(int)) for p in inside}
    occupied = lidar_grid(points, VOLUME)
    assert {(x, y, z) for z, x, y in np.argwhere(occupied)} == voxels
    centres = voxel_centers(occupied, VOLUME)
    assert len(centres) == len(voxels)
    assert np.abs(inside[:, None] - centres[None]).max(2).min(1).max() <= 0.2 + 1e-9


def test_unobserved_space_counts_less_and_what_is_out_of_view_nothing() -> None:
    pair = tiny_pair(0)
    weight = make_example([pair], VOLUME, 0.3).weight[0].numpy()
    seen = observed_mask(VOLUME, STRIDE, pair.lidar_origin_m, pair.lidar)
    view = view_grid(VOLUME)
    for z, x, y in np.ndindex(weight.shape):
        expected = (1.0 if seen[x, y, z] else 0.3) if view[z, x, y] else 0.0
        assert weight[z, x, y] == pytest.approx(expected)
    assert np.unique(weight) == pytest.approx([0.0, 0.3, 1.0])
    # Straight ahead is in view, beside the radar isn't.
    assert view[:, 20, 16].all()
    assert not view[:, 0, 0].any()


def test_weights_are_those_of_the_loss() -> None:
    example = make_example([tiny_pair(0)], VOLUME, 0.3)
    logits = torch.randn(example.occupied.shape, generator=torch.Generator().manual_seed(0))
    right = torch.where(example.occupied > 0, logits, -logits).double().sigmoid()
    weight = example.weight.double()
    expected = -(weight * right.log()).sum() / weight.sum()
    found = occupancy_loss(Fixed(logits), example)
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)


class Fixed(torch.nn.Module):
    """Gives the same logits for every grid."""

    def __init__(self, logits: torch.Tensor) -> None:
        super().__init__()
        self.logits = logits

    def forward(self, _: torch.Tensor) -> torch.Tensor:
        return self.logits


def test_as_many_voxels_are_chosen_as_probabilities_add_up_to() -> None:
    probability = torch.tensor([[0.9, 0.1, 0.6], [0.3, 0.05, 0.2]])  # 2.15 in all
    assert choose_likeliest(probability).tolist() == [[True, False, True], [False] * 3]
    assert not choose_likeliest(0.1 * probability).any()
    assert choose_likeliest(torch.ones(2, 2)).all()


def test_the_choice_is_that_of_flags_without_presence() -> None:
    cells = lattice(VOLUME, 1, torch.device("cpu")).support
    random = torch.Generator().manual_seed(0)
    flags = torch.rand(len(cells), 64, generator=random)
    absent = torch.full((len(cells),), -1.0)
    state = State(torch.zeros(len(cells), 1), 2.0 * flags - 1.0, absent)
    chosen = choose_flags(state, cells, presence_threshold=0.0)
    ours = choose_likeliest(0.5 * (state.flags + 1.0))
    assert torch.equal(ours, chosen)


@pytest.mark.parametrize("side", [(32, 32), (36, 44), (4, 8)])
def test_a_grid_of_any_size_passes(side: tuple[int, int]) -> None:
    network = BirdsEyeUnet(16)
    assert network(torch.zeros(2, 16 + COLUMN_CHANNELS, *side)).shape == (2, 16, *side)
    assert 1.9e6 < sum(p.numel() for p in network.parameters()) < 4e6


def test_points_are_centres_of_likely_voxels_in_view() -> None:
    network = BirdsEyeUnet(SHAPE[2])
    torch.nn.init.zeros_(network.head.weight)
    torch.nn.init.constant_(network.head.bias, -2.0)
    points = BirdsEye(network, VOLUME, LidarSettings(), ()).draw(tiny_pair(0))
    view = view_grid(VOLUME)
    assert len(points) == round(view.sum() / (1 + np.exp(2.0)))
    cells = VOLUME.voxel_index(points) // STRIDE
    assert view[cells[:, 2], cells[:, 0], cells[:, 1]].all()
    assert np.allclose(points, VOLUME.voxel_center(cells, STRIDE))


def test_a_scan_has_the_rings_of_the_lidar_and_keeps_to_the_voxels() -> None:
    network = BirdsEyeUnet(SHAPE[2])
    torch.nn.init.zeros_(network.head.weight)
    torch.nn.init.constant_(network.head.bias, -2.0)
    trained = BirdsEye(network, VOLUME, LidarSettings(rings_deg=(-4.0, 1.0)), ())
    pair = tiny_pair(0)
    points, centers = trained.scan(pair), trained.draw(pair)
    own = transform_points(np.linalg.inv(pair.T_radar_lidar), points.astype(np.float64))
    elevation_deg = np.degrees(np.arctan2(own[:, 2], np.hypot(own[:, 0], own[:, 1])))
    assert len(points) > 50
    assert np.abs(elevation_deg[:, None] - (-4.0, 1.0)).min(axis=1).max() < 1e-3
    # Half a voxel of 0.4 m up and half of one aside.
    assert KDTree(centers).query(points)[0].max() < 0.2 * np.sqrt(2) + 1e-3


def config(frames, **train) -> DenoiserConfig:
    """That of a tiny run, with a learning rate for a network that isn't tiny."""
    tiny = tiny_config(frames, "edm", vae="none")
    assert isinstance(tiny, DenoiserConfig)
    settings = tiny.train.model_copy(update={"learning_rate": 3e-3, **train})
    return tiny.model_copy(update={"train": settings})


def trained(frames, steps: int, **changes) -> BirdsEye:
    train, run = PreparedFrames.open(frames, "train"), config(frames)
    return train_birds_eye(run.model_copy(update=changes), train, np.arange(steps) / steps)


def weights(network: BirdsEyeUnet) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in network.parameters()])


def test_training_lowers_the_loss_on_frames_that_it_never_saw(frames) -> None:
    found = trained(frames, 20)
    assert len(found.losses) == 20
    assert np.mean(found.losses[-4:]) < 0.7 * found.losses[0]
    example = make_example([tiny_pair(6), tiny_pair(7)], found.volume, 0.3)
    with torch.no_grad():
        before = occupancy_loss(BirdsEyeUnet(SHAPE[2]), example)
        assert occupancy_loss(found.network, example) < 0.7 * before
    assert len(found.draw(tiny_pair(6))) > 0


def test_a_seed_decides_the_network_whatever_was_drawn_before(frames) -> None:
    first = trained(frames, 3)
    torch.rand(5)
    again, other = trained(frames, 3), trained(frames, 3, seed=1)
    assert first.losses == again.losses
    assert torch.equal(weights(first.network), weights(again.network))
    assert first.losses != other.losses


def test_samples_are_augmented_as_those_of_a_run(frames) -> None:
    data = config(frames).data
    still = data.model_copy(
        update={"augment": AugmentSettings(mirror=0, yaw_max_deg=0, shift_std_m=0, radar_dropout=0)}
    )
    assert still.augment.is_off
    assert trained(frames, 2, data=still).losses != trained(frames, 2).losses


class Recorded(Sequence):
    """Frames, and in which order they were asked for."""

    def __init__(self, frames: PreparedFrames) -> None:
        self.frames, self.asked = frames, []

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, number: int) -> ScanPair:
        self.asked.append(number)
        return self.frames[number]


def test_every_frame_is_seen_before_one_is_seen_again(frames) -> None:
    recorded = Recorded(PreparedFrames.open(frames, "train"))
    train_birds_eye(config(frames), recorded, [0.0, 0.3, 0.6])
    assert sorted(recorded.asked[:6]) == list(range(6))


@pytest.mark.parametrize(("warmup_samples", "share", "expected"), [(1, 0, 1), (10, 0.5, 0.05)])
def test_the_first_step_is_that_of_warmup_and_schedule(
    frames, warmup_samples: int, share: float, expected: float
) -> None:
    run, train = config(frames, warmup_samples=warmup_samples), PreparedFrames.open(frames, "train")
    torch.manual_seed(run.seed)
    before = weights(BirdsEyeUnet(SHAPE[2]))
    moved = (weights(train_birds_eye(run, train, [share]).network) - before).abs().median()
    # Adam's first step is as long as the learning rate; the average goes nine tenths of it.
    assert moved == pytest.approx(0.9 * 3e-3 * expected, rel=0.02)


def test_the_learning_rate_falls_to_nothing_with_the_share(frames) -> None:
    train, run = PreparedFrames.open(frames, "train"), config(frames)
    moved = [
        (
            weights(train_birds_eye(run, train, [0.0, share]).network)
            - weights(train_birds_eye(run, train, [0.0]).network)
        )
        .abs()
        .max()
        for share in (0.5, 1.0)
    ]
    assert moved[0] > 1e-4
    # The average still comes nearer to the network, which no longer moves.
    assert moved[1] < 0.5 * moved[0]


def test_a_frame_that_can_not_be_read_ends_the_training(frames, tmp_path) -> None:
    folder = tmp_path / "frames"
    folder.mkdir()
    (folder / "000000.npz").write_bytes((frames / "frames/000000.npz").read_bytes()[:100])
    damaged = PreparedFrames(tmp_path, ("000000",))
    with pytest.raises(InputError, match=r"000000\.npz"):
        train_birds_eye(config(frames), damaged, [0.0, 0.5])


def test_shares_rise_from_nothing_and_end_with_the_time() -> None:
    shares = list(shares_of_time(0.05 / 60))
    assert shares[0] < 0.5
    assert shares == sorted(shares)
    assert shares[-1] < 1
