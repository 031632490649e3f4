import copy
import math

import pytest
import torch
from torch import Tensor

from radarsparse.config import EdmConfig, VaeConfig, VaeSettings, VolumeSettings
from radarsparse.geometry import Volume
from radarsparse.models.blocks import ChannelBlock, Pyramid, ResidualBlock, checkpoint_activations
from radarsparse.models.vae import Vae
from radarsparse.scan import ScanPair
from radarsparse.simulator.pairs import simulate_pair
from radarsparse.sparse import SparseTensor
from radarsparse.training.planning.memory import peak_bytes
from radarsparse.training.random import SampleRandom
from radarsparse.training.stages import EdmStage, Stage, TrainingBatch, VaeStage
from radarsparse.voxels.batch import make_batch
from tests.conftest import TINY_VOLUME, tiny_config, tiny_pair

VOLUME = Volume(
    tuple(TINY_VOLUME["minimum_m"]), tuple(TINY_VOLUME["maximum_m"]), 0.2, math.radians(60)
)


def _stage(name: str, tmp_path) -> Stage:
    """A stage in training with random weights everywhere, so that every gradient is something."""
    torch.manual_seed(0)
    if name == "vae":
        stage = VaeStage(tiny_config(tmp_path, "vae"))
    else:
        config = tiny_config(tmp_path, "edm", vae="unused", dropout=0.3)
        assert isinstance(config, EdmConfig)
        stage = EdmStage(config, Vae(VaeSettings(channels=(4, 8, 8, 12))))
    for parameter in stage.parameters():
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter, std=0.1)
    return stage.train()


def _loss(stage: Stage, pairs: list[ScanPair], volume: Volume) -> Tensor:
    random = SampleRandom(0, range(len(pairs)), torch.device("cpu"))
    torch.manual_seed(1)  # of dropout
    return stage(TrainingBatch(make_batch(pairs, volume), random))["total"]


def _learn(stage: Stage) -> Tensor:
    loss = _loss(stage, [tiny_pair(0), tiny_pair(1)], VOLUME)
    loss.backward()
    return loss


def _voxels(channels: int, samples: int = 2) -> SparseTensor:
    torch.manual_seed(2)
    cells = torch.stack([torch.randperm(6**3)[:60] for _ in range(samples)])
    sample = torch.arange(samples).repeat_interleave(60)
    coords = torch.stack([sample, *torch.unravel_index(cells.flatten(), (6, 6, 6))], dim=1)
    return SparseTensor(torch.randn(len(coords), channels), coords, samples)


@pytest.mark.parametrize("name", ["vae", "edm"])
def test_checkpointing_changes_no_bit_of_loss_and_gradients(name, tmp_path):
    kept = _stage(name, tmp_path)
    made_again = copy.deepcopy(kept)
    checkpoint_activations(made_again)
    assert torch.equal(_learn(kept), _learn(made_again))
    gradients = {key: p.grad for key, p in kept.named_parameters() if p.grad is not None}
    assert gradients
    for key, parameter in made_again.named_parameters():
        if key in gradients:
            assert parameter.grad is not None
            assert torch.equal(parameter.grad, gradients[key]), key
            assert gradients[key].abs().max() > 0, key
    assert kept.state_dict().keys() == made_again.state_dict().keys()


@pytest.mark.parametrize("name", ["vae", "edm"])
def test_checkpointing_takes_little_memory_for_a_step(name):
    data, train = {"root": ""}, {"samples": 1}
    if name == "vae":
        stage = VaeStage(VaeConfig(stage="vae", data=data, train=train))
    else:
        config = EdmConfig(
            stage="edm", data=data, train=train, model={"vae": "", "channels": (32, 48, 64)}
        )
        stage = EdmStage(config, Vae(VaeSettings()))
    pair, volume = simulate_pair(0, 0), Volume.from_settings(VolumeSettings())
    _loss(stage, [pair], volume).backward()  # so that gradients and the lattice's plans are there
    kept = peak_bytes(lambda: _loss(stage, [pair], volume).backward())
    checkpoint_activations(stage)
    # Kept whatever the blocks do: the state and its errors, 81 channels wide, and what is told of
    # each cell, 72 wide; of the VAE, what its children are told of beams.
    share = {"vae": 0.55, "edm": 0.7}[name]
    assert peak_bytes(lambda: _loss(stage, [pair], volume).backward()) < share * kept


def test_a_copy_of_a_checkpointed_network_is_one_too(tmp_path):
    stage = _stage("vae", tmp_path)
    checkpoint_activations(stage)
    torch.testing.assert_close(_learn(copy.deepcopy(stage)), _learn(stage), rtol=0, atol=0)
    assert not copy.deepcopy(stage).network.decoder.keeps_activations


@torch.no_grad()
def test_each_sample_is_modulated_by_its_own_row():
    torch.manual_seed(0)
    block, x = ResidualBlock(5), _voxels(5)
    for parameter in block.parameters():
        torch.nn.init.normal_(parameter)
    modulation = torch.randn(2, 10)
    both = block(x, modulation)
    for sample in (0, 1):
        rows = x.coords[:, 0] == sample
        coords = x.coords[rows] * torch.tensor([0, 1, 1, 1])
        alone = block(SparseTensor(x.feats[rows], coords), modulation[sample : sample + 1])
        # Sums of 135 products of order one.
        torch.testing.assert_close(both.feats[rows], alone.feats, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_blocks_start_as_they_are_built_and_keep_their_support():
    x = _voxels(6)
    assert torch.equal(ResidualBlock(6)(x).feats, x.feats)
    block = ChannelBlock(6)
    one_by_one = [block(SparseTensor(x.feats[row : row + 1], x.coords[:1])) for row in range(5)]
    expected = torch.cat([voxel.feats for voxel in one_by_one])
    torch.testing.assert_close(block(x).feats[:5], expected)


@torch.no_grad()
def test_a_pyramid_has_one_level_per_stride_with_every_cell_that_holds_something():
    x = _voxels(3)
    levels = Pyramid(3, (4, 5, 6), ChannelBlock)(x)
    assert [level.stride for level in levels] == [1, 2, 4]
    assert [level.feats.shape[1] for level in levels] == [4, 5, 6]
    for level in levels:
        cells = {(b, *(i // level.stride for i in xyz)) for b, *xyz in x.coords.tolist()}
        assert {tuple(row) for row in level.coords.tolist()} == cells
