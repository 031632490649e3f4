import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.autograd import gradcheck
from torch.nn import functional as F

from radarsparse.models.losses.by_level import by_noise_level, divide_by_shares
from radarsparse.models.losses.detail import ComparedVoxels, intensity_loss, kl_loss, offset_loss
from radarsparse.models.losses.occupancy import dice_loss, focal_loss, split_loss
from radarsparse.models.losses.perceptual import PerceptualLoss, random_pyramid
from radarsparse.models.losses.reduce import mean_per_sample, weigh
from radarsparse.models.losses.structure import least_direction, neighbour_loss, normal_loss
from radarsparse.models.vae import LevelSplit
from radarsparse.sparse import SparseTensor
from tests.oracles import random_sparse

SAMPLES = 3
POINT_LOSSES = (offset_loss, intensity_loss, neighbour_loss, normal_loss)
OCCUPANCY_LOSSES = (lambda split: split_loss(split, 2.0, 0.5), focal_loss, dice_loss)


def _random_split(seed: int) -> LevelSplit:
    parents = random_sparse(1, grid=3, voxels=20, seed=seed).support
    random = torch.Generator().manual_seed(seed)
    logits = 2.0 * torch.randn(len(parents), 8, generator=random, dtype=torch.float64)
    return LevelSplit(parents, logits, torch.rand(len(parents), 8, generator=random) > 0.7)


def _random_clouds(seed: int) -> tuple[SparseTensor, SparseTensor]:
    """Decoded and true voxels that overlap in part; the sample between is empty."""
    decoded = random_sparse(4, grid=4, voxels=70, seed=seed)
    return decoded, random_sparse(5, grid=4, voxels=70, seed=seed + 1)


def _true_voxels(
    match: ComparedVoxels, sample: int
) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Index, decoded and true features of the true voxels of a sample."""
    rows = ((match.support.coords[:, 0] == sample) & match.true).nonzero()[:, 0].tolist()
    return [
        (match.support.coords[r, 1:].numpy(), match.feats[r].numpy(), match.target[r, :4].numpy())
        for r in rows
    ]


def _neighbours(voxels, centre):
    return [v for v in voxels if np.abs(v[0] - centre[0]).max() <= 1]


def _least(points: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    return np.linalg.eigh(np.cov(np.stack(points).T, bias=True))


def _flat_square(decoded_offset) -> ComparedVoxels:
    """Nine voxels in a plane, true points at their centres; decoded ones where a function says."""
    coords = torch.tensor([[0, x, y, 0] for x in range(3) for y in range(3)])
    lidar = SparseTensor(torch.zeros(9, 5, dtype=torch.float64), coords)
    offset = torch.tensor([decoded_offset(x, y) for _, x, y, _ in coords.tolist()])
    feats = torch.cat([offset, torch.zeros(9, 1)], dim=1).double()
    return ComparedVoxels.of(SparseTensor(feats, coords), lidar)


def test_mean_is_taken_per_sample_first():
    values = torch.tensor([1.0, 3.0, 10.0, 99.0])
    sample = torch.tensor([0, 0, 1, 1])
    weights = torch.tensor([1.0, 1.0, 2.0, 0.0])
    assert mean_per_sample(values, sample, 2, weights).item() == (2.0 + 10.0) / 2
    # A sample without weight counts as zero.
    assert mean_per_sample(values, sample, 4, weights).item() == 3.0


def test_total_is_the_weighted_sum_and_what_weighs_nothing_is_not_computed():
    def never():
        raise AssertionError

    terms = [
        ("a", 2.0, lambda: torch.tensor(3.0)),
        ("b", 0.0, never),
        ("c", 0.5, lambda: torch.tensor(4.0)),
    ]
    assert {k: v.item() for k, v in weigh(terms).items()} == {"a": 3.0, "c": 4.0, "total": 8.0}
    with pytest.raises(ValueError, match="no loss has a weight"):
        weigh(terms[1:2])


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 1000), balance=st.sampled_from([0.0, 0.5, 1.0]))
def test_split_loss_is_the_weighted_cross_entropy_of_a_loop(seed, balance):
    split, expected = _random_split(seed), 0.0
    for b in range(SAMPLES):
        rows = split.parents.coords[:, 0] == b
        truth, logits = split.truth[rows], split.logits[rows]
        if len(truth) == 0:
            continue
        ratio = max(int((~truth).sum()), 1) / max(int(truth.sum()), 1)
        losses = torch.where(
            truth, -2.0 * ratio**balance * F.logsigmoid(logits), -F.logsigmoid(-logits)
        )
        expected += losses.mean().item() / SAMPLES
    assert split_loss(split, 2.0, balance).item() == pytest.approx(expected, rel=1e-12)


def test_full_balance_gives_true_and_false_children_equal_sums():
    parents = random_sparse(1, batch=(0,), batch_size=1, voxels=10).support
    truth = torch.zeros(len(parents), 8, dtype=torch.bool)
    truth[0, :3] = True
    false = truth.numel() - 3
    # A logit of 0 costs ln 2; the 3 true ones together weigh as much as all false ones.
    loss = split_loss(LevelSplit(parents, torch.zeros(len(parents), 8), truth), 1.0, 1.0)
    assert loss.item() == pytest.approx(2 * false * math.log(2) / truth.numel(), rel=1e-5)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 1000))
def test_focal_and_dice_losses_are_those_of_a_loop(seed):
    split, focal, dice = _random_split(seed), 0.0, 0.0
    for b in range(SAMPLES):
        rows = split.parents.coords[:, 0] == b
        cells = [
            (1 / (1 + math.exp(-logit)), float(true))
            for logit, true in zip(
                split.logits[rows].flatten().tolist(),
                split.truth[rows].flatten().tolist(),
                strict=True,
            )
        ]
        if not cells:
            continue
        told = [p if t else 1 - p for p, t in cells]
        focal += np.mean([-((1 - q) ** 2) * math.log(q) for q in told]) / SAMPLES
        overlap = 2 * sum(p * t for p, t in cells) / sum(p**2 + t**2 for p, t in cells)
        dice += (1 - overlap) / SAMPLES
    assert focal_loss(split).item() == pytest.approx(focal, rel=1e-9)
    assert dice_loss(split).item() == pytest.approx(dice, rel=1e-9)


@pytest.mark.parametrize("loss", OCCUPANCY_LOSSES)
def test_occupancy_losses_of_certain_and_right_logits_are_nothing(loss):
    split = _random_split(0)
    sure = torch.where(split.truth, 40.0, -40.0).double()
    assert loss(LevelSplit(split.parents, sure, split.truth)).item() < 1e-12
    wrong = loss(LevelSplit(split.parents, -sure, split.truth)).item()
    assert wrong > 0.6  # of the 2 samples in 3 that have voxels


@pytest.mark.parametrize("loss", OCCUPANCY_LOSSES)
def test_occupancy_losses_have_finite_gradients_where_nothing_is_true(loss):
    split = _random_split(0)
    logits = (100.0 * split.logits).requires_grad_()
    loss(LevelSplit(split.parents, logits, torch.zeros_like(split.truth))).backward()
    assert torch.isfinite(logits.grad).all()


def test_details_count_at_true_voxels_only():
    coords = torch.tensor([[0, 0, 0, 0], [0, 0, 0, 1], [0, 0, 0, 2]])
    lidar = SparseTensor(torch.tensor([[0.1, 0.2, 0.3, 0.5, 0.0]]), coords[:1])
    decoded = SparseTensor(torch.tensor([[0.4, 0.2, 0.0, 0.1], [9.0] * 4, [9.0] * 4]), coords)
    match = ComparedVoxels.of(decoded, lidar)
    torch.testing.assert_close(offset_loss(match), torch.tensor(0.2))
    torch.testing.assert_close(intensity_loss(match), torch.tensor(0.4))
    # No two true voxels touch.
    assert neighbour_loss(match).item() == 0.0
    assert normal_loss(match).item() == 0.0


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 1000))
def test_neighbour_loss_is_that_of_a_loop_over_pairs(seed):
    match, expected = ComparedVoxels.of(*_random_clouds(seed)), 0.0
    for b in range(SAMPLES):
        voxels = _true_voxels(match, b)
        apart = [
            np.abs((mine[1] - mine[2] - other[1] + other[2])[:3]).mean()
            for mine in voxels
            for other in _neighbours(voxels, mine)
            if other is not mine
        ]
        expected += np.mean(apart) / SAMPLES if apart else 0.0
    assert neighbour_loss(match).item() == pytest.approx(expected, rel=1e-12)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 1000))
def test_normal_loss_is_that_of_a_loop_over_neighbourhoods(seed):
    match, expected = ComparedVoxels.of(*_random_clouds(seed)), 0.0
    for b in range(SAMPLES):
        voxels, sines, weights = _true_voxels(match, b), [], []
        for mine in voxels:
            around = _neighbours(voxels, mine)
            spread, true = _least([2.0 * v[0] + v[2][:3] for v in around])
            _, decoded = _least([2.0 * v[0] + v[1][:3] for v in around])
            planarity = (spread[1] - spread[0]) / max(spread[2], 1e-12)
            if planarity > 1e-3:
                sines.append(1.0 - (true[:, 0] @ decoded[:, 0]) ** 2)
                weights.append(planarity)
        expected += np.average(sines, weights=weights) / SAMPLES if sines else 0.0
    # Eigenvectors err by about 1e-16 over the gap of the eigenvalues.
    assert normal_loss(match).item() == pytest.approx(expected, abs=1e-9)


def test_a_tilted_plane_costs_the_squared_sine_of_its_tilt():
    tilt = math.radians(20)
    match = _flat_square(lambda x, _: (0.0, 0.0, 2 * x * math.tan(tilt)))
    assert normal_loss(match).item() == pytest.approx(math.sin(tilt) ** 2, rel=1e-6)


def test_neighbours_that_part_cost_what_comes_between_them():
    coords = torch.tensor([[0, 0, 0, 0], [0, 1, 1, 1]])
    lidar = SparseTensor(torch.zeros(2, 5), coords)
    decoded = SparseTensor(torch.tensor([[0.3, 0.0, 0.0, 0.0], [-0.3, 0.0, 0.0, 0.0]]), coords)
    assert neighbour_loss(ComparedVoxels.of(decoded, lidar)).item() == pytest.approx(0.6 / 3)


def test_a_shift_of_all_points_costs_the_offset_alone():
    match = _flat_square(lambda *_: (0.1, -0.2, 0.3))
    assert offset_loss(match).item() == pytest.approx(0.2, rel=1e-6)
    assert neighbour_loss(match).item() == pytest.approx(0.0, abs=1e-7)
    assert normal_loss(match).item() == pytest.approx(0.0, abs=1e-12)


def test_a_perfect_reconstruction_costs_nothing():
    _, lidar = _random_clouds(0)
    decoded = lidar.replace(lidar.feats[:, :4])
    match = ComparedVoxels.of(decoded, lidar)
    for loss in POINT_LOSSES:
        assert loss(match).item() == pytest.approx(0.0, abs=1e-12)
    assert PerceptualLoss(random_pyramid().double())(decoded, lidar).item() == 0.0


@pytest.mark.parametrize("loss", POINT_LOSSES)
def test_gradients_of_point_losses_are_right(loss):
    decoded, lidar = _random_clouds(3)
    match = ComparedVoxels.of(decoded, lidar)

    def of_feats(feats):
        return loss(ComparedVoxels(match.support, feats, match.target, match.true))

    assert gradcheck(of_feats, match.feats.clone().requires_grad_())


@pytest.mark.parametrize("loss", OCCUPANCY_LOSSES)
def test_gradients_of_occupancy_losses_are_right(loss):
    split = _random_split(1)

    def of_logits(logits):
        return loss(LevelSplit(split.parents, logits, split.truth))

    assert gradcheck(of_logits, split.logits.clone().requires_grad_())


def test_gradients_of_the_perceptual_loss_are_right():
    torch.manual_seed(0)
    decoded = random_sparse(4, grid=3, voxels=12, seed=3)
    lidar = random_sparse(5, grid=3, voxels=12, seed=4)
    loss = PerceptualLoss(random_pyramid().double())
    assert gradcheck(
        lambda feats: loss(decoded.replace(feats), lidar), decoded.feats.clone().requires_grad_()
    )
    assert not any(p.requires_grad for p in loss.parameters())


def test_gradient_of_the_least_direction_is_right():
    root = torch.randn(5, 3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    def projector(root):
        direction = least_direction(root @ root.transpose(1, 2))
        return direction[:, :, None] * direction[:, None, :]  # whose sign is not arbitrary

    assert gradcheck(projector, root.requires_grad_())


def test_a_direction_that_is_arbitrary_has_no_gradient():
    matrices = torch.stack([torch.eye(3), torch.zeros(3, 3), torch.diag(torch.tensor([1.0, 1, 3]))])
    matrices.requires_grad_()
    direction = least_direction(matrices)
    (direction * torch.tensor([1.0, 2.0, 0.0])).sum().backward()
    torch.testing.assert_close(matrices.grad[:2], torch.zeros(2, 3, 3))
    assert torch.isfinite(matrices.grad).all()
    torch.testing.assert_close(direction.norm(dim=1), torch.ones(3))


def test_perceptual_loss_is_that_of_a_loop_over_strides():
    torch.manual_seed(0)
    decoded, lidar = _random_clouds(5)
    pyramid, expected = random_pyramid().double(), 0.0
    seen = lidar.feats.clone()
    at = {tuple(c): row for row, c in enumerate(decoded.coords.tolist())}
    for row, coord in enumerate(lidar.coords.tolist()):
        if tuple(coord) in at:
            seen[row, :4] = decoded.feats[at[tuple(coord)]]
    for true, level in zip(pyramid(lidar), pyramid(lidar.replace(seen)), strict=True):
        for b in range(SAMPLES):
            rows = (true.coords[:, 0] == b).nonzero()[:, 0].tolist()
            distances2 = [
                ((a / a.norm() - b / b.norm()) ** 2).sum().item()
                for a, b in ((true.feats[r], level.feats[r]) for r in rows)
            ]
            expected += np.mean(distances2) / SAMPLES / 4 if rows else 0.0
    loss = PerceptualLoss(pyramid)(decoded, lidar)
    assert loss.item() == pytest.approx(expected, rel=1e-9)
    assert expected > 0


def test_divergence_is_that_of_torch_distributions():
    mean = random_sparse(3, batch=(0,), batch_size=1)
    log_variance = torch.randn_like(mean.feats)
    drawn = torch.distributions.Normal(mean.feats, (0.5 * log_variance).exp())
    unit = torch.distributions.Normal(torch.zeros_like(mean.feats), 1.0)
    expected = torch.distributions.kl_divergence(drawn, unit).sum(1).mean()
    torch.testing.assert_close(kl_loss(mean, log_variance), expected)


@pytest.mark.parametrize("loss", OCCUPANCY_LOSSES)
def test_occupancy_losses_of_half_precision_are_those_of_the_same_numbers(loss):
    split = _random_split(2)
    half = LevelSplit(split.parents, split.logits.bfloat16(), split.truth)
    exact = LevelSplit(split.parents, half.logits.double(), split.truth)
    assert loss(half).dtype == torch.float32
    # float32 errs by some 1e-7; in bfloat16 a sum of so many terms would err by 1e-2.
    assert loss(half).item() == pytest.approx(loss(exact).item(), rel=1e-5)


@pytest.mark.parametrize("loss", POINT_LOSSES)
def test_point_losses_of_half_precision_are_those_of_the_same_numbers(loss):
    decoded, lidar = _random_clouds(7)
    half = decoded.replace(decoded.feats.bfloat16())
    single = lidar.replace(lidar.feats.float())
    exact = ComparedVoxels.of(
        half.replace(half.feats.double()), lidar.replace(single.feats.double())
    )
    found = loss(ComparedVoxels.of(half, single))
    assert found.dtype == torch.float32
    # An eigenvector errs by some 1e-7 over the gap of the eigenvalues, here 1e-2 at least.
    assert found.item() == pytest.approx(loss(exact).item(), rel=1e-4)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 1000))
def test_means_by_noise_level_survive_averaging_over_batches(seed):
    random = torch.Generator().manual_seed(seed)
    loss = torch.rand(5, 4, generator=random, dtype=torch.float64)
    sigma = torch.randn(5, 4, generator=random).sub(0.4).exp()
    regression = torch.rand(5, 4, generator=random) < 0.25
    batches = [by_noise_level(*batch) for batch in zip(loss, sigma, regression, strict=True)]
    mean = {name: torch.stack([b[name] for b in batches]).mean().item() for name in batches[0]}
    bounds = {"0_0.3": (0, 0.3), "0.3_0.7": (0.3, 0.7), "0.7_1.5": (0.7, 1.5), "1.5_inf": (1.5, 99)}
    bins = {f"sigma_{k}": (a <= sigma) & (sigma < b) & ~regression for k, (a, b) in bounds.items()}
    bins["regression"] = regression
    assert mean.keys() == {f"edm_{part}/{name}" for part in ("sum", "share") for name in bins}
    for name, inside in bins.items():
        share = mean[f"edm_share/{name}"]
        assert share == pytest.approx(inside.double().mean().item())
        expected = loss[inside].mean().item() if inside.any() else 0.0
        assert mean[f"edm_sum/{name}"] == pytest.approx(expected * share)
    shown = divide_by_shares({**mean, "latent": 3.0})
    expected = {
        f"edm/{k}": loss[inside].mean().item() for k, inside in bins.items() if inside.any()
    }
    assert shown == pytest.approx({**expected, "latent": 3.0})
