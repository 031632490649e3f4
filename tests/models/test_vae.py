import math
from dataclasses import replace

import torch

from radarsparse.config import VaeSettings
from radarsparse.geometry import Volume
from radarsparse.models.vae import Vae, limit_candidates
from radarsparse.sparse import SparseTensor, look_up, prune
from radarsparse.sparse.ops import parent_support
from radarsparse.sparse.tensor import pack_keys
from radarsparse.voxels.batch import make_batch
from tests.conftest import TINY_VOLUME, tiny_pair

VOLUME = Volume(
    tuple(TINY_VOLUME["minimum_m"]), tuple(TINY_VOLUME["maximum_m"]), 0.2, math.radians(60)
)


def parent_keys(x: SparseTensor) -> torch.Tensor:
    """Keys of the voxels of twice the stride that hold each row."""
    halved = torch.div(x.coords[:, 1:], 2, rounding_mode="floor")
    return pack_keys(torch.cat([x.coords[:, :1], halved], dim=1))


def _hints(vae, batch):
    return vae.hints(batch.radar, batch.beams)


def _tiny_vae(**settings: object) -> Vae:
    torch.manual_seed(0)
    return Vae(VaeSettings(channels=(4, 8, 8, 12), latent_channels=3, **settings)).eval()


def test_latents_lie_on_the_occupied_cells_of_stride_8():
    batch, vae = make_batch([tiny_pair(0), tiny_pair(1)], VOLUME), _tiny_vae()
    latent = vae.encode(batch.lidar)
    occupied = batch.lidar.support
    for _ in range(3):
        occupied = parent_support(occupied)
    assert torch.equal(latent.coords, occupied.coords)
    assert (latent.stride, latent.feats.shape[1]) == (8, 3)


def _change_without_other_cells(kernel_size: int) -> float:
    """The largest change of latents where no points but those of their own slice are left."""
    pair, vae = tiny_pair(0), _tiny_vae(kernel_size=kernel_size)
    # Blocks that see neighbours begin as if they didn't.
    for parameter in vae.encoder.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    whole = vae.encode(make_batch([pair], VOLUME).lidar)
    alone = replace(pair, lidar=pair.lidar[VOLUME.voxel_index(pair.lidar)[:, 0] // 8 == 3])
    part = vae.encode(make_batch([alone], VOLUME).lidar)
    feats, there = look_up(whole, part.coords)
    assert there.all()
    assert 0 < len(part.feats) < len(whole.feats)
    return float((part.feats - feats).detach().abs().max())


def test_the_latent_of_a_cell_depends_on_neighbours_if_the_kernel_reaches_them():
    # Sums over other numbers of rows may round differently in float32.
    assert _change_without_other_cells(1) < 1e-4
    assert _change_without_other_cells(3) > 0.1


def test_standardized_latents_have_zero_mean_and_unit_spread_once_observed():
    vae, latents = _tiny_vae(), 3.0 * torch.randn(500, 3) + 7.0
    for _ in range(2000):
        vae.observe_latents(latents)
        vae.settle_statistics()
    standard = vae.standardize(latents)
    # What is left of the start after 2000 steps of 1 % is 0.99^2000 < 1e-8.
    torch.testing.assert_close(standard.mean(0), torch.zeros(3), atol=1e-4, rtol=0)
    torch.testing.assert_close(standard.std(0, unbiased=False), torch.ones(3), atol=1e-3, rtol=0)
    torch.testing.assert_close(standard * vae.latent_std + vae.latent_mean, latents)


def test_teaching_visits_all_true_voxels_and_scores_every_level():
    batch, vae = make_batch([tiny_pair(0)], VOLUME), _tiny_vae()
    fine = batch.lidar.support
    stride2 = parent_support(fine)
    latent, _ = vae.encoder(batch.lidar)
    hints = _hints(vae, batch)
    supports = [parent_support(stride2), stride2, fine]
    decoded, splits = vae.decoder.teach(latent, supports, hints, 10_000)
    assert decoded.support.find(fine.keys)[1].all()
    assert [split.parents.stride for split in splits] == [8, 4, 2]
    assert [int(split.truth.sum()) for split in splits] == [len(s) for s in supports]


def test_decoding_onto_known_voxels_gives_each_its_likeliest_child_at_least():
    batch, vae = make_batch([tiny_pair(0), tiny_pair(1)], VOLUME), _tiny_vae()
    latent, support = vae.encode(batch.lidar), parent_support(batch.lidar.support)
    fine = SparseTensor.on(support, torch.full((len(support), 1), 0.5))
    least = vae.decode_below(latent, fine, _hints(vae, batch), 1.0)
    assert len(least.coords) == len(support)
    assert torch.equal(parent_support(least.support).coords, support.coords)
    most = vae.decode_below(latent, fine, _hints(vae, batch), 1e-9)
    assert len(most.coords) == 8 * len(support)
    assert most.support.find(least.support.keys)[1].all()


def test_children_of_likelier_voxels_come_first():
    """At the bound between the two halves' probabilities, one half has all and one has one."""
    batch, vae = make_batch([tiny_pair(0)], VOLUME), _tiny_vae()
    latent, support = vae.encode(batch.lidar), parent_support(batch.lidar.support)
    torch.nn.init.zeros_(vae.decoder.levels[2].child_head.weight)
    torch.nn.init.zeros_(vae.decoder.levels[2].child_head.bias)
    likely = torch.arange(len(support)) % 2 == 0
    fine = SparseTensor.on(support, torch.where(likely, 0.9, 0.1)[:, None])
    found = vae.decode_below(latent, fine, _hints(vae, batch), 0.25)
    row, _ = support.find(parent_keys(found))
    counts = torch.bincount(row, minlength=len(support))
    assert torch.equal(counts, torch.where(likely, 8, 1))


def test_decoding_nothing_gives_nothing():
    batch, vae = make_batch([tiny_pair(0)], VOLUME), _tiny_vae()
    latent = vae.encode(batch.lidar)
    empty = prune(latent, torch.zeros(len(latent.feats), dtype=torch.bool))
    assert tuple(vae.decode(empty, _hints(vae, batch)).feats.shape) == (0, 4)


def test_decoded_voxels_never_exceed_the_cap():
    batch, vae = make_batch([tiny_pair(0)], VOLUME), _tiny_vae(max_voxels_per_frame=50)
    assert len(vae.decode(vae.encode(batch.lidar), _hints(vae, batch)).feats) <= 50


def test_candidates_are_true_ones_then_the_likeliest():
    logits = torch.tensor([[3.0, 2.0, 1.0, -1.0, -2.0, 0.5, -3.0, -4.0]])
    truth = torch.tensor([[False] * 4 + [True] + [False] * 3])
    assert limit_candidates(logits, truth, 8).nonzero()[:, 1].tolist() == [0, 1, 2, 4, 5]
    assert limit_candidates(logits, truth, 3).nonzero()[:, 1].tolist() == [0, 1, 4]
