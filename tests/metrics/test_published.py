"""Compatibility modes: numbers worked out by hand, and slow loops on random clouds."""

import math
import statistics
from itertools import product

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.integrate import simpson
from scipy.spatial.distance import jensenshannon
from torch import Tensor

from radarsparse.errors import InputError
from radarsparse.metrics.published import lidiff, r2flow, radar_diffusion, radarhd

Pairs = list[tuple[Tensor, Tensor]]

EMPTY = torch.zeros(0, 3)


def random_pairs(seed: int, frames: int, scale_m: float) -> Pairs:
    """Pairs of clouds whose points are near each other, of sizes odd and even."""
    random = np.random.default_rng(seed)
    pairs = []
    for number in range(frames):
        target = random.uniform(-scale_m, scale_m, (23 + number, 3))
        near = target[random.integers(0, len(target), 30)] + random.normal(0, 0.06, (30, 3))
        pred = np.concatenate([near, random.uniform(-scale_m, scale_m, (4, 3))])
        pairs.append((torch.from_numpy(pred), torch.from_numpy(target)))
    return pairs


def distances(points: Tensor, others: Tensor, axes: int) -> list[float]:
    rows, other_rows = points[:, :axes].tolist(), others[:, :axes].tolist()
    return [min(math.dist(row, other) for other in other_rows) for row in rows]


def share(values: list[bool]) -> float:
    return sum(values) / len(values)


def harmonic(a: float, b: float) -> float:
    return 2 * a * b / (a + b) if a + b else 0.0


class TestRadarDiffusion:
    # pred -> target: 0.05 and 2.95 m; target -> pred: 0.05, 4 and 2.95 m
    pred = torch.tensor([[0.0, 0, 0], [3, 0, 0]], dtype=torch.float64)
    target = torch.tensor([[0.05, 0, 0], [7, 0, 0], [0, 2.95, 0]], dtype=torch.float64)

    def test_by_hand(self) -> None:
        scores = radar_diffusion([(self.pred, self.target)])
        assert scores["chamfer_sum_m"] == pytest.approx((0.05 + 2.95) / 2 + (0.05 + 4 + 2.95) / 3)
        assert scores["hausdorff_m"] == 4
        # 1 of 2 predicted points is near: 1/2. That 1 with the 2 far points of the target: 1/3
        assert scores["fscore@0.1m"] == pytest.approx(2 * (1 / 2) * (1 / 3) / (1 / 2 + 1 / 3))

    def test_the_mixed_ratio_depends_on_how_many_points_are_predicted(self) -> None:
        # 10 times the near point: 10/11 and 10/(10 + 2); of the target still 1 of 3 is near
        many = torch.cat([self.pred[:1].expand(10, 3), self.pred[1:]])
        scores = radar_diffusion([(many, self.target)])
        assert scores["fscore@0.1m"] == pytest.approx(harmonic(10 / 11, 10 / 12))

    def test_an_empty_prediction_lowers_the_distances(self) -> None:
        alone = radar_diffusion([(self.pred, self.target)])
        for empty in ((EMPTY, self.target), (self.pred, EMPTY), (EMPTY, EMPTY)):
            scores = radar_diffusion([(self.pred, self.target), empty])
            assert scores == {key: alone[key] / 2 for key in alone}
        assert set(radar_diffusion([(EMPTY, self.target)]).values()) == {0.0}

    def test_a_distance_equal_to_the_threshold_counts(self) -> None:
        for distance_m, fscore in ((0.1, 1), (0.101, 0)):
            target = torch.tensor([[distance_m, 0, 0]], dtype=torch.float64)
            assert radar_diffusion([(torch.zeros(1, 3), target)])["fscore@0.1m"] == fscore

    def test_two_columns_are_points_without_height(self) -> None:
        flat = radar_diffusion([(self.pred[:, :2], self.target[:, :2])])
        assert flat == radar_diffusion([(self.pred, self.target)])

    @pytest.mark.parametrize("seed", range(4))
    def test_random_clouds_agree_with_loops(self, seed: int) -> None:
        pairs = [*random_pairs(seed, 3, 0.5), (EMPTY, torch.zeros(2, 3))]
        sums = [0.0, 0.0, 0.0]
        for pred, target in pairs:
            if len(pred) == 0:
                continue
            there, back = distances(pred, target, 3), distances(target, pred, 3)
            sums[0] += statistics.fmean(there) + statistics.fmean(back)
            sums[1] += max(*there, *back)
            near = sum(d <= 0.1 for d in there)
            sums[2] += harmonic(near / len(there), near / (near + sum(d > 0.1 for d in back)))
        found = radar_diffusion(pairs)
        expected = [total / len(pairs) for total in sums]
        names = ("chamfer_sum_m", "hausdorff_m", "fscore@0.1m")
        assert [found[name] for name in names] == pytest.approx(expected, rel=1e-12)
        assert 0 < found["fscore@0.1m"] < 0.75


class TestLidiff:
    def test_distances_by_hand(self) -> None:
        # frame 1, pred -> target: 0.25, 3.75; target -> pred: 0.25. Frame 2: all 1.
        pairs = [
            (torch.tensor([[0.0, 0, 0], [4, 0, 0]]), torch.tensor([[0.25, 0, 0]])),
            (torch.tensor([[0.0, 0, 0]]), torch.tensor([[0.0, 0, 1]])),
        ]
        scores = lidiff(pairs)
        assert scores["rmse_m"] == (2 + 1) / 2
        assert scores["chamfer_mean_m"] == ((2 + 0.25) / 2 + 1) / 2
        assert scores["precision_auc_percent"] == scores["fscore_auc_percent"] == 0

    def test_areas_are_in_per_cent_of_the_whole(self) -> None:
        # 0.01 m is below every threshold, 0.2 m below none: precision 50, recall 100
        pred = torch.tensor([[0.0, 0, 0], [0.21, 0, 0]]).double()
        scores = lidiff([(pred, torch.tensor([[0.01, 0, 0]]).double())])
        assert scores["precision_auc_percent"] == pytest.approx(50)
        assert scores["recall_auc_percent"] == pytest.approx(100)
        assert scores["fscore_auc_percent"] == pytest.approx(200 / 3)

    def test_a_jump_between_thresholds_gives_the_share_above_it(self) -> None:
        # 0.08 m: 40 of 100 thresholds lie above, 60 % of the range below; Simpson's rule may
        # err by one step of the 99 at a jump
        scores = lidiff([(torch.zeros(1, 3), torch.tensor([[0.08, 0, 0]]).double())])
        assert scores["precision_auc_percent"] == pytest.approx(40, abs=100 / 99)

    def test_iou_sums_cells_over_the_set(self) -> None:
        # frame 1 shares its 1 cell, frame 2 has 1 + 2 cells and shares none: 1 of 4, where the
        # mean of both frames would be 1/2
        one = torch.tensor([[0.05, 0.05, 0.05]])
        pairs = [(one, one), (one + 3, torch.cat([one + 4, one + 5]))]
        scores = lidiff(pairs)
        for size_m in (0.5, 0.2, 0.1):
            assert scores[f"iou@{size_m}m"] == pytest.approx(0.25)

    def test_the_first_code_sees_fifty_voxels_around_the_sensor(self) -> None:
        shared = torch.tensor([[1.0, 1, 1]])
        # rounded indices at 0.1 m: 50 is seen, 51 isn't; at 0.2 m all are seen
        inside = torch.tensor([[5.04, 1, 1]]).double()
        outside = torch.tensor([[5.06, 1, 1]]).double()
        key = "iou_before_2025_06@{}m".format
        assert lidiff([(torch.cat([shared, inside]), shared)])[key(0.1)] == pytest.approx(0.5)
        scores = lidiff([(torch.cat([shared, outside]), shared)])
        assert scores[key(0.1)] == pytest.approx(1)
        assert scores[key(0.2)] == pytest.approx(0.5)
        assert scores["iou@0.1m"] == pytest.approx(0.5)

    def test_cells_of_the_first_code_are_centred_and_those_of_the_later_are_not(self) -> None:
        scores = lidiff([(torch.tensor([[0.2, 0.2, 0.2]]), torch.tensor([[-0.2, 0.2, 0.2]]))])
        assert scores["iou_before_2025_06@0.5m"] == pytest.approx(1)
        assert scores["iou@0.5m"] == 0

    def test_nothing_within_reach(self) -> None:
        far = torch.tensor([[60.0, 0, 0]])
        scores = lidiff([(far, far)])
        assert scores["iou@0.5m"] == scores["iou_before_2025_06@0.5m"] == 0
        assert math.isnan(scores["jsd_3d"])
        assert math.isnan(scores["jsd_bev"])
        assert scores["chamfer_mean_m"] == 0

    def test_the_last_bin_holds_its_upper_edge(self) -> None:
        edge, below = torch.tensor([[50.0, 50, 50]]), torch.tensor([[49.95, 49.95, 49.95]])
        assert lidiff([(edge, below)])["iou@0.1m"] == pytest.approx(1)
        assert lidiff([(-edge, -below)])["iou@0.1m"] == pytest.approx(1)

    def test_divergence_by_hand(self) -> None:
        # 3D: points (2, 1) against (1, 1) in the same two voxels of one column; seen from above
        # one column each: 0. Shares 2/3, 1/3 and 1/2, 1/2, mixture 7/12, 5/12.
        pred = torch.tensor([[0.1, 0.1, 0.1], [0.2, 0.1, 0.1], [0.1, 0.1, 0.6]])
        target = torch.tensor([[0.1, 0.1, 0.1], [0.1, 0.1, 0.6]])
        scores = lidiff([(pred, target)])
        ours = 2 / 3 * math.log(8 / 7) + 1 / 3 * math.log(4 / 5)
        theirs = 1 / 2 * math.log(6 / 7) + 1 / 2 * math.log(6 / 5)
        assert scores["jsd_3d"] == pytest.approx(math.sqrt((ours + theirs) / 2), rel=1e-9)
        assert scores["jsd_bev"] == 0
        apart = lidiff([(pred, target + 5)])
        assert apart["jsd_3d"] == apart["jsd_bev"] == pytest.approx(math.sqrt(math.log(2)))

    def test_divergence_agrees_with_dense_histograms(self) -> None:
        pairs = random_pairs(9, 2, 1.0)
        expected: dict[str, list[float]] = {"jsd_3d": [], "jsd_bev": []}
        for pair in pairs:
            dense = [
                np.histogramdd(points.numpy(), bins=200, range=[(-50, 50)] * 3)[0]
                for points in pair
            ]
            expected["jsd_3d"].append(float(jensenshannon(*(cells.ravel() for cells in dense))))
            flat = [np.minimum(cells, 1).sum(axis=2).ravel() for cells in dense]
            expected["jsd_bev"].append(float(jensenshannon(*flat)))
        found = lidiff(pairs)
        for key, values in expected.items():
            assert found[key] == pytest.approx(statistics.fmean(values), rel=1e-9)

    @pytest.mark.parametrize("seed", range(3))
    def test_random_clouds_agree_with_loops(self, seed: int) -> None:
        pairs = random_pairs(seed, 3, 0.4 * 6)
        there = [distances(pred, target, 3) for pred, target in pairs]
        back = [distances(target, pred, 3) for pred, target in pairs]
        curves: list[list[float]] = [[], [], []]
        for threshold_m in np.linspace(0.05, 0.1, 100):
            p = [100 * share([d < threshold_m for d in frame]) for frame in there]
            r = [100 * share([d < threshold_m for d in frame]) for frame in back]
            f = [harmonic(*both) for both in zip(p, r, strict=True)]
            for curve, values in zip(curves, (p, r, f), strict=True):
                curve.append(statistics.fmean(values))
        found = lidiff(pairs)
        for name, curve in zip(("precision", "recall", "fscore"), curves, strict=True):
            expected = simpson(curve, dx=0.05 / 99) / 0.05
            assert found[f"{name}_auc_percent"] == pytest.approx(float(expected), rel=1e-9)
        for size_m, first_code in product((0.5, 0.2, 0.1), (False, True)):
            key = f"iou_before_2025_06@{size_m}m" if first_code else f"iou@{size_m}m"
            assert found[key] == pytest.approx(self.iou_by_sets(pairs, size_m, first_code))

    @staticmethod
    def iou_by_sets(pairs: Pairs, size_m: float, first_code: bool) -> float:
        shared, union = 0, 0
        for pair in pairs:
            sets = []
            for points in pair:
                cells = {
                    tuple(round(v / size_m) if first_code else (v + 50) // size_m for v in row)
                    for row in points.tolist()
                }
                reach = 50 if first_code else math.inf
                sets.append({cell for cell in cells if max(map(abs, cell)) <= reach})
            shared += len(sets[0] & sets[1])
            union += len(sets[0] | sets[1])
        return shared / union

    @pytest.mark.parametrize(
        ("pair", "name"),
        [((EMPTY, torch.zeros(1, 3)), "prediction"), ((torch.zeros(1, 3), EMPTY), "target")],
    )
    def test_empty_clouds_are_refused(self, pair: tuple[Tensor, Tensor], name: str) -> None:
        pairs = [(torch.zeros(1, 3), torch.zeros(1, 3)), pair]
        with pytest.raises(InputError, match=f"pair 1: 0 points of the {name} found"):
            lidiff(pairs)
        with pytest.raises(InputError, match=f"pair 1: 0 points of the {name} found"):
            radarhd(pairs)


class TestRadarhd:
    def test_by_hand(self) -> None:
        # heights don't count. pred -> target: 1, 1, 4 (median 1, mean 2);
        # target -> pred: 1, 1 (median and mean 1)
        pred = torch.tensor([[0.0, 0, 9], [2, 0, -9], [2, 5, 0]])
        target = torch.tensor([[1.0, 0, 0], [2, 1, 5]])
        scores = radarhd([(pred, target)])
        assert scores["chamfer_mean_m"] == scores["chamfer_mean_m_median"] == (2 + 1) / 2
        assert scores["hausdorff_median_m"] == scores["hausdorff_median_m_median"] == 1

    def test_the_median_of_an_even_number_is_between_two(self) -> None:
        # pred -> target: 1 and 3
        pred, target = torch.tensor([[1.0, 0], [3, 0]]), torch.zeros(1, 2)
        assert radarhd([(pred, target)])["hausdorff_median_m"] == 2

    @pytest.mark.parametrize("seed", range(4))
    def test_random_clouds_agree_with_loops(self, seed: int) -> None:
        pairs = random_pairs(seed, 4, 3.0)
        chamfer, hausdorff = [], []
        for pred, target in pairs:
            there, back = distances(pred, target, 2), distances(target, pred, 2)
            chamfer.append((statistics.fmean(there) + statistics.fmean(back)) / 2)
            hausdorff.append(max(statistics.median(there), statistics.median(back)))
        expected = {
            "chamfer_mean_m": statistics.fmean(chamfer),
            "hausdorff_median_m": statistics.fmean(hausdorff),
            "chamfer_mean_m_median": statistics.median(chamfer),
            "hausdorff_median_m_median": statistics.median(hausdorff),
        }
        assert radarhd(pairs) == pytest.approx(expected, rel=1e-12)


class TestR2Flow:
    def test_by_hand(self) -> None:
        # Two frames, of which the prediction has its points in one cell and the target in two.
        here, there = torch.tensor([10.0, 10, 0]), torch.tensor([20.0, 10, 0])
        pairs = [(here[None], torch.stack([here, there]))] * 2
        scores = r2flow(pairs)
        nats = (math.log(1 / 0.75) + 0.5 * math.log(0.5 / 0.75) + 0.5 * math.log(0.5 / 0.25)) / 2
        assert scores["jsd_set"] == pytest.approx(math.sqrt(nats))
        # Shares (1, 0) and (1/2, 1/2) are sqrt(1/2) apart: exp(-0.5 / (2 * 0.25)) = 1/e.
        assert scores["mmd_set"] == pytest.approx(2 - 2 / math.e)

    def test_against_slow_loops(self) -> None:
        pairs = random_pairs(4, 3, 60.0)
        tables = [[self.cells(cloud) for cloud in pair] for pair in pairs]
        sums = [sum(table[side] for table in tables) for side in (0, 1)]
        scores = r2flow(pairs)
        assert scores["jsd_set"] == pytest.approx(jensenshannon(*sums))
        shares = [[table[side] / table[side].sum() for table in tables] for side in (0, 1)]

        def alike(p: int, q: int) -> float:
            both = product(shares[p], shares[q])
            return statistics.mean(math.exp(-np.square(a - b).sum() / 0.5) for a, b in both)

        expected = alike(0, 0) + alike(1, 1) - 2 * alike(0, 1)
        assert scores["mmd_set"] == pytest.approx(expected, abs=1e-12)

    @staticmethod
    def cells(cloud: Tensor) -> NDArray[np.float64]:
        counts = np.zeros((100, 100))
        for x, y, z in cloud.tolist():
            if 3 < math.hypot(x, y, z) < 70:
                counts[int((x + 80) / 1.6), int((y + 80) / 1.6)] += 1
        return counts.ravel()

    def test_clouds_out_of_sight_are_refused(self) -> None:
        seen = torch.full((1, 3), 5.0)
        with pytest.raises(InputError, match="pair 1: target: 0 of 2 points are 3 to 70 m away"):
            r2flow([(seen, seen), (seen, torch.ones(2, 3))])


@pytest.mark.parametrize("mode", [radar_diffusion, lidiff, radarhd, r2flow])
def test_no_pairs_are_refused(mode: object) -> None:
    assert callable(mode)
    with pytest.raises(InputError, match="0 pairs of clouds found, at least 1 expected"):
        mode([])


@pytest.mark.parametrize("mode", [radar_diffusion, lidiff, radarhd, r2flow])
def test_coordinates_that_are_not_finite_are_refused(mode: object) -> None:
    assert callable(mode)
    with pytest.raises(InputError, match="row 0 is"):
        mode([(torch.full((1, 3), math.nan), torch.zeros(1, 3))])
