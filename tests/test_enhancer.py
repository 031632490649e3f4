from copy import copy
from dataclasses import replace
from unittest.mock import patch

import numpy as np
import pytest
import torch
from scipy.spatial import KDTree

from radarsparse.config import EdmConfig, LidarSettings, VaeSettings
from radarsparse.enhancer import Enhancer, Tiles
from radarsparse.errors import InputError
from radarsparse.geometry import pose
from radarsparse.models.latent_diffusion import LatentDiffusion
from radarsparse.simulator.pairs import simulate_pair
from radarsparse.sparse import engines, use_engine
from radarsparse.sparse.plan import strided_plan
from radarsparse.voxels.scene import lattice
from tests.conftest import tiny_config, tiny_pair


@pytest.fixture(scope="module")
def enhancer(edm_run):
    return Enhancer.load(edm_run)


def test_the_same_seed_gives_the_same_bits_and_another_one_others(enhancer):
    radar = tiny_pair(6).radar
    first, second, other = enhancer(radar, 1), enhancer(radar, 1), enhancer(radar, 2)
    assert np.array_equal(first.table, second.table)
    assert not np.array_equal(first.table, other.table)


def test_points_lie_in_the_box_and_intensities_in_their_range(enhancer):
    table = enhancer(tiny_pair(6).radar).table
    assert len(table) > 0
    assert (table[:, :3] >= np.array(enhancer.volume.minimum_m) - 1e-4).all()
    assert (table[:, :3] <= np.array(enhancer.volume.maximum_m) + 1e-4).all()
    assert ((table[:, 3] >= 0) & (table[:, 3] <= 255)).all()


def test_steps_and_order_of_points_are_handled(enhancer):
    radar = tiny_pair(6).radar
    drawing = enhancer.with_sampling(enhancer.sampling.model_copy(update={"regression_share": 0.0}))
    one, three = (drawing(radar, steps=steps).table for steps in (1, 3))
    assert not np.array_equal(one, three)
    shuffled = np.random.default_rng(0).permutation(radar)
    # Sums over the points of one voxel run in another order: float64 keeps them equal in float32.
    np.testing.assert_allclose(enhancer(radar).table, enhancer(shuffled).table, atol=1e-3)


def test_tensors_and_arrays_and_lists_of_clouds_give_the_same(enhancer):
    clouds = [tiny_pair(number).radar for number in (6, 7, 8)]
    alone = [enhancer(cloud, 3).table for cloud in clouds]
    tensors = [torch.from_numpy(cloud) for cloud in clouds]
    together = enhancer.batch(tensors, 3)
    streamed = list(enhancer.stream(iter(clouds), 3))
    assert len(together) == len(streamed) == 3
    for one, two, three in zip(alone, together, streamed, strict=True):
        assert np.array_equal(one, two.table)
        assert np.array_equal(one, three.table)
        assert two.seconds > 0


def test_a_stream_asks_for_a_cloud_only_when_its_turn_comes(enhancer):
    asked = []

    def clouds():
        for number in (6, 7):
            asked.append(number)
            yield tiny_pair(number).radar

    stream = enhancer.stream(clouds())
    next(stream)
    assert asked == [6]


def test_draws_come_with_the_cloud_and_do_not_change_it(enhancer):
    radar = tiny_pair(6).radar
    alone, two, three = (enhancer(radar, 5, samples=samples) for samples in (0, 2, 3))
    assert [len(cloud.draws) for cloud in (alone, two, three)] == [0, 2, 3]
    np.testing.assert_array_equal(alone.table, three.table)
    np.testing.assert_array_equal(alone.probability, three.probability)
    for ours, theirs in zip(two.draws, three.draws, strict=False):
        np.testing.assert_array_equal(ours.table, theirs.table)
    first, second, _ = (draw.table for draw in three.draws)
    assert not np.array_equal(first, second)
    assert not np.array_equal(first, three.table)


def test_the_spread_is_that_of_draws_or_what_the_probability_says(enhancer):
    radar = tiny_pair(6).radar
    alone, drawn = enhancer(radar), enhancer(radar, samples=4)
    says = np.sqrt(alone.probability * (1.0 - alone.probability))
    np.testing.assert_allclose(alone.spread, says, atol=1e-6)
    assert not np.array_equal(drawn.spread, alone.spread)
    assert (drawn.spread <= 0.5 + 1e-6).all()


def test_points_lie_on_the_rings_of_the_lidar_and_a_beam_of_a_draw_returns_once(enhancer):
    told = copy(enhancer)
    told.lidar = LidarSettings(rings_deg=(-6.0, -1.0, 2.0), position_m=(0.2, -0.1, 0.4))
    cloud = told(tiny_pair(6).radar, samples=1)
    beams = []
    for each in (cloud, cloud.draws[0]):
        x, y, z = (each.points.astype(np.float64) - told.lidar.position_m).T
        elevation_deg = np.degrees(np.arctan2(z, np.hypot(x, y)))
        ring = np.abs(elevation_deg[:, None] - told.lidar.rings_deg).argmin(axis=1)
        np.testing.assert_allclose(elevation_deg, np.take(told.lidar.rings_deg, ring), atol=1e-3)
        columns = np.degrees(np.arctan2(y, x)) / told.lidar.azimuth_step_deg
        np.testing.assert_allclose(columns, columns.round(), atol=1e-2)
        beams.append(ring * 10_000 + columns.round())
    assert len(beams[0]) > len(np.unique(beams[0])) > 0
    assert len(beams[1]) == len(np.unique(beams[1])) > 0


def test_counts_out_of_bounds_are_refused(enhancer):
    for name, low in (("steps", 1), ("samples", 0)):
        with pytest.raises(InputError, match=f"{name} = -1: must be a whole number, {low} to 4096"):
            enhancer(tiny_pair(6).radar, **{name: -1})
    with pytest.raises(InputError, match="steps = 0: must be a whole number, 1 to 4096"):
        enhancer(tiny_pair(6).radar, steps=0)
    with pytest.raises(InputError, match="workers = 0: must be a whole number, 1 to 4096"):
        enhancer.batch([], workers=0)


@pytest.mark.parametrize(
    "seed", [-1, 2**70, pytest.param(10**5000, id="long"), 1.5, "1", True, None]
)
def test_seeds_that_no_generator_takes_are_refused(enhancer, seed):
    with pytest.raises(InputError, match=r"seed = .*: must be a whole number, 0 to"):
        enhancer(tiny_pair(6).radar, seed)


@pytest.mark.parametrize("steps", [1.5, "2", [2], 10**9])
def test_steps_that_are_no_count_are_refused(enhancer, steps):
    with pytest.raises(InputError, match=r"steps = .*: must be a whole number, 1 to 4096"):
        enhancer(tiny_pair(6).radar, steps=steps)


def test_steps_of_a_regression_are_refused(enhancer):
    with pytest.raises(InputError, match="steps = 3: these weights take none; their cloud is a"):
        enhancer(tiny_pair(6).radar, steps=3)


def test_points_that_no_radar_measured_change_nothing_but_are_told_of(enhancer, caplog):
    radar = tiny_pair(6).radar
    wrong = radar[:3].astype(np.float64)
    wrong[0, 3], wrong[1, 4], wrong[2, :3] = 3.4e38, np.nan, 0.0
    found = enhancer(np.concatenate([wrong, radar]), name="scan").table
    assert np.array_equal(found, enhancer(radar).table)
    assert [record.getMessage() for record in caplog.records] == [
        "scan: dropped 1 of 43 points: doppler_mps 3.4e+38 beyond -200 .. 200",
        "scan: dropped 1 of 43 points: no return, at the origin",
        "scan: dropped 1 of 43 points: NaN or infinity",
    ]


def test_unusable_clouds_of_a_batch_are_numbered(enhancer):
    with pytest.raises(InputError, match=r"radar cloud 1: has shape \[3, 4\]"):
        enhancer.batch([tiny_pair(6).radar, np.zeros((3, 4))])
    for draw in (enhancer.batch, enhancer.stream):
        with pytest.raises(InputError, match="clouds: must be several radar clouds, not a int"):
            list(draw(5))


def test_radar_clouds_without_end_are_refused(enhancer):
    with pytest.raises(InputError, match="big: has 1048577 points; must be 1048576 at most"):
        enhancer(np.zeros((2**20 + 1, 5), dtype=np.int8), name="big")


def test_what_are_no_tiles_is_refused(edm_run):
    with pytest.raises(InputError, match=r"tiles 5: must be Tiles\(side_m, overlap_m\)"):
        Enhancer.load(edm_run, tiles=5)


def test_unknown_devices_are_named(enhancer):
    for device in ("abacus", "meta", "hpu", None, torch.float64):
        with pytest.raises(InputError, match=f"device {device!r}: can't be used"):
            enhancer.to(device)
    assert enhancer.to("cpu").device.type == "cpu"


def test_bfloat16_moves_few_points_and_can_be_declined():
    enhancer, radar = Enhancer.load(), simulate_pair(3, 1).radar
    with patch.object(engines, "multiplies_bfloat16", lambda: False):
        exact = enhancer(radar)
    with patch.object(engines, "multiplies_bfloat16", lambda: True):
        packed = enhancer(radar)
        with use_engine("torch"):
            declined = enhancer(radar)
    np.testing.assert_array_equal(declined.table, exact.table)
    distance_m = KDTree(exact.points).query(packed.points)[0]
    assert 0.0 < np.mean(distance_m > 0.05) < 0.03
    assert len(packed.points) == pytest.approx(len(exact.points), rel=0.02)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no NVIDIA GPU")
def test_a_gpu_draws_what_the_cpu_draws(edm_run):
    radar = tiny_pair(6).radar
    with use_engine("torch"):
        here, there = Enhancer.load(edm_run)(radar), Enhancer.load(edm_run).to("cuda")(radar)
    # Voxels whose probability lies at the bound may come or go with the rounding.
    assert len(there.points) == pytest.approx(len(here.points), rel=0.05)
    assert there.points.mean(0) == pytest.approx(here.points.mean(0), abs=0.1)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no NVIDIA GPU")
def test_threads_that_share_a_gpu_draw_what_one_draws():
    """The first of them records the denoiser's graph while the others are at work."""
    clouds = [tiny_pair(number).radar for number in range(6)]
    together = Enhancer.load().to("cuda").batch(clouds, workers=4)
    alone = Enhancer.load().to("cuda")
    for cloud, points in zip(together, clouds, strict=True):
        assert np.array_equal(cloud.table, alone(points).table)


def test_regression_takes_no_seed_and_is_repeatable(enhancer):
    radar = tiny_pair(6).radar
    assert np.array_equal(enhancer.regress(radar).table, enhancer.regress(radar).table)


@pytest.mark.parametrize(
    ("points", "message"),
    [
        (np.zeros((3, 4)), r"scan: has shape \[3, 4\], needed is \[n, 5\]"),
        (np.full((3, 5), np.nan), "scan: no usable point of 3"),
        (np.full((3, 5), -50.0), "none of 3 points lies in the box .* 50.0 m or more behind"),
        (np.zeros((0, 5)), "scan: no usable point of 0"),
        (np.full((3, 5), 3.4e38), r"scan: x 3.4e\+38 beyond -1000 .. 1000 in 3 of 3 points"),
        ([["1"] * 5], "scan: must be an array of numbers, not of type <U1"),
        ({"points": 3}, "scan: must be an array of numbers, not of type object"),
        (np.ones((3, 5), complex), "scan: must be an array of numbers, not of type complex128"),
        (torch.ones((3, 5), device="meta"), r"scan: must be an array of numbers \("),
        ([[10**400] * 5], "scan: must be an array of numbers, not of type object"),
    ],
)
def test_unusable_clouds_are_named(enhancer, points, message):
    with pytest.raises(InputError, match=message):
        enhancer(points, name="scan")


LONG = {"minimum_m": (0.0, -3.2, -1.6), "maximum_m": (192.0, 3.2, 1.6), "azimuth_max_deg": 80.0}


def _long_enhancer(tmp_path, tiles):
    """Random weights, so that everything depends on everything, over a long volume."""
    config = tiny_config(tmp_path, "edm", vae="", blocks=1)
    assert isinstance(config, EdmConfig)
    volume = config.volume.model_copy(update=LONG)
    sampling = config.sampling.model_copy(update={"start_sigma": 0.5})
    config = config.model_copy(update={"volume": volume, "sampling": sampling})
    torch.manual_seed(0)
    vae = VaeSettings(channels=(4, 8, 8, 12), max_voxels_per_frame=10**6)
    network = LatentDiffusion(vae, config.model, config.diffusion)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.15)
    return Enhancer(network, config, tiles)


def test_other_rings_give_another_cloud(tmp_path):
    network, radar = _long_enhancer(tmp_path, None).network, _long_radar()
    config = tiny_config(tmp_path, "edm", vae="", blocks=1)
    assert isinstance(config, EdmConfig)

    def draw(rings_deg, yaw_deg=0.0):
        lidar = LidarSettings(rings_deg=rings_deg, yaw_pitch_roll_deg=(yaw_deg, 5.0, 0.0))
        volume = config.volume.model_copy(update=LONG)
        told = config.model_copy(update={"volume": volume, "lidar": lidar})
        return Enhancer(network, told)(radar).table

    first = draw((-2.0, 1.0))
    assert np.array_equal(first, draw((1.0, -2.0)))
    for other in (draw(()), draw((-2.0, 4.0)), draw((-2.0, 1.0), yaw_deg=90.0)):
        assert other.shape != first.shape or np.abs(other - first).max() > 1e-3


def _long_radar():
    random = np.random.default_rng(0)
    points = random.uniform((0, -3.2, -1.6), (192, 3.2, 1.6), (800, 3))
    return np.c_[points, random.normal(0, 2, 800), random.uniform(45, 80, 800)]


@pytest.mark.parametrize("method", ["__call__", "regress"])
def test_tiles_give_the_cloud_of_the_whole_volume(tmp_path, method):
    radar = _long_radar()
    whole, tiled, near = (
        getattr(_long_enhancer(tmp_path, tiles), method)(radar).table
        for tiles in (None, Tiles(26.0), Tiles(26.0, overlap_m=0.0))
    )
    assert len(whole) > 1000
    # Rounding differs, by 1e-5 of the half voxel in which offsets are told and of the intensity.
    np.testing.assert_allclose(tiled, whole, rtol=1e-4, atol=1e-3)
    assert near.shape != whole.shape or np.abs(near - whole).max() > 1e-3


def test_points_of_tiles_come_once(edm_run):
    whole, tiled = Enhancer.load(edm_run), Enhancer.load(edm_run, Tiles(6.4))
    radar = tiny_pair(6).radar
    np.testing.assert_allclose(tiled(radar).table, whole(radar).table, rtol=1e-4, atol=1e-3)
    assert np.array_equal(tiled(radar, 3).table, tiled(radar, 3).table)


def test_tiles_of_no_use_are_refused(edm_run):
    for side_m in (6.0, np.nan, 1e300, "12", None):
        with pytest.raises(InputError, match=r"^side of tiles = .* m: must be 6.4 to 1e\+06 m"):
            Enhancer.load(edm_run, Tiles(side_m))
    for overlap_m in (-1.0, np.inf, "12"):
        with pytest.raises(InputError, match=r"^overlap of tiles = .* m: must be 0 to 1e\+06 m"):
            Enhancer.load(edm_run, Tiles(6.4, overlap_m))


def test_a_consensus_of_two_views_and_the_regression(enhancer):
    radar = tiny_pair(6).radar
    plain = {"steps": 1, "regression_share": 0.0, "detail_sigma": None}
    alone = enhancer.sampling.model_copy(update=plain)
    both = alone.model_copy(update={"views": 2, "regression_share": 0.5})
    first, second = (enhancer.with_sampling(sampling)(radar) for sampling in (alone, both))
    assert not np.array_equal(first.table, second.table)
    assert second.spread.max() > 0
    assert ((second.probability >= 0) & (second.probability <= 1)).all()
    regression = alone.model_copy(update={"regression_share": 1.0})
    whole, share = enhancer.regress(radar), enhancer.with_sampling(regression)(radar)
    np.testing.assert_array_equal(whole.table, share.table)


def test_details_leave_probabilities_as_they_are(enhancer):
    radar = tiny_pair(6).radar
    plain = enhancer.sampling.model_copy(update={"samples": 2, "voxel_probability": 1.0})
    detailed = plain.model_copy(update={"detail_sigma": 0.5})
    first, second = (enhancer.with_sampling(sampling)(radar) for sampling in (plain, detailed))
    # The likeliest child of each voxel is there at any threshold, wherever it is.
    np.testing.assert_array_equal(np.sort(first.probability), np.sort(second.probability))
    assert not np.array_equal(first.points, second.points)


def test_modes_of_the_caller_change_nothing_and_are_left_to_the_caller(edm_run):
    radar, expected = tiny_pair(6).radar, Enhancer.load(edm_run)(tiny_pair(6).radar).table
    lattice.cache_clear()
    enhancer = Enhancer.load(edm_run)
    with torch.inference_mode():
        assert np.array_equal(enhancer(radar).table, expected)
        assert torch.is_inference_mode_enabled()
    with torch.autocast("cpu", torch.bfloat16):
        assert np.array_equal(enhancer(radar).table, expected)
    assert np.array_equal(enhancer(radar).table, expected)
    # A training on the same volume, which shares them, couldn't save what inference mode made.
    kept = lattice(enhancer.volume, 1).support
    assert not any(part.is_inference() for part in (kept.coords, strided_plan(kept, 2, 2)[1].keys))


def test_a_mount_is_taken_from_its_transform_and_rings_stay(enhancer):
    lidar = LidarSettings(rings_deg=(-3.0, 1.0), position_m=(9.0, 9.0, 9.0))
    told = copy(enhancer)
    told.lidar = lidar
    T_radar_lidar = pose(np.radians((20.0, -4.0, 7.0)), (-0.2, 0.1, 0.4))
    pair = replace(tiny_pair(0), T_radar_lidar=T_radar_lidar)
    other = told.beside(pair)
    assert other.lidar.rings_deg == lidar.rings_deg
    own = replace(pair, rings_deg=(2.0, 5.0))
    assert told.beside(own).lidar == other.lidar.model_copy(update={"rings_deg": (2.0, 5.0)})
    # A network that was told of none imitates none.
    assert enhancer.beside(own).lidar.rings_deg == ()
    found = pose(np.radians(other.lidar.yaw_pitch_roll_deg), other.lidar.position_m)
    np.testing.assert_allclose(found, T_radar_lidar, atol=1e-12)
    assert told.lidar == lidar


def test_a_cloud_says_what_was_foreign_in_its_input(edm_run):
    enhancer = Enhancer.load(edm_run)
    points = tiny_pair(0).radar
    for cloud in (enhancer(points), enhancer.regress(points), *enhancer.batch([points])):
        assert cloud.health is not None
        assert (cloud.health.points, cloud.health.used, cloud.health.foreign) == (40, 40, ())
    far = points + np.float32([0, 0, 30, 0, 0])
    health = enhancer(np.concatenate([points[:5], far])).health
    assert health is not None
    assert (health.points, health.used) == (45, 5)
    assert [finding.name for finding in health.foreign] == ["points in view", "share in view"]
