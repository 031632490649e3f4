"""What each training stage learns: its network and its losses for some scan pairs."""

from collections.abc import Sequence
from pathlib import Path

import torch

from radarsparse.config import Config, DistillConfig, EctConfig, EdmConfig, VaeConfig
from radarsparse.errors import InputError
from radarsparse.models.blocks import checkpoint_activations
from radarsparse.models.weights import load_run, load_vae_of
from radarsparse.training.random import TrainingBatch as TrainingBatch
from radarsparse.training.stages.denoiser_stage import DenoiserStage as DenoiserStage
from radarsparse.training.stages.denoiser_stage import EdmStage as EdmStage
from radarsparse.training.stages.few_step import DistillStage as DistillStage
from radarsparse.training.stages.few_step import EctStage as EctStage
from radarsparse.training.stages.few_step import FewStepStage as FewStepStage
from radarsparse.training.stages.vae_stage import VaeStage as VaeStage

Stage = VaeStage | DenoiserStage


def make_stage(config: Config) -> tuple[Stage, VaeConfig]:
    """The stage that a config names, and the config of its VAE.

    Raises:
        InputError: the checkpoint of the VAE or of the teacher can't be used, or it is of other
            settings than the config.
    """
    torch.manual_seed(config.seed)
    if isinstance(config, VaeConfig):
        stage, vae_config = VaeStage(config), config
    elif isinstance(config, EctConfig | DistillConfig):
        teacher, taught, vae_config = load_run(Path(config.teacher))
        if not isinstance(taught, EdmConfig):
            raise InputError(f"teacher = {config.teacher}: needed is a run of stage 'edm'")
        _check_equal(config, taught, ("volume", "model", "diffusion"), f"teacher {config.teacher}")
        _check_told(config, taught, f"teacher {config.teacher}")
        if isinstance(config, EctConfig):
            stage = EctStage(config, teacher)
        else:
            stage = DistillStage(config, teacher)
    else:
        vae, vae_config = load_vae_of(config.model.vae)
        _check_equal(config, vae_config, ("volume",), f"model.vae {config.model.vae}")
        _check_told(config, vae_config, f"model.vae {config.model.vae}")
        stage = EdmStage(config, vae)
    if config.train.checkpoint_activations:
        checkpoint_activations(stage)
    return stage, vae_config


def _check_equal(ours: Config, theirs: Config, blocks: Sequence[str], source: str) -> None:
    for block in blocks:
        before = getattr(theirs, block).model_dump()
        # A teacher brings its VAE along, wherever that once lay.
        for key, value in getattr(ours, block).model_dump(exclude={"vae"}).items():
            if value != before[key]:
                raise InputError(
                    f"{block}.{key} = {value}: that of {source} is {before[key]}; they must be"
                    " equal"
                )


def _check_told(ours: Config, theirs: Config, source: str) -> None:
    """Refuse to tell nothing of beams to a network that learnt to rely on them."""
    if theirs.lidar.rings_deg and not ours.lidar.rings_deg:
        raise InputError(
            f"lidar.rings_deg = []: {source} was told of {len(theirs.lidar.rings_deg)} rings; name"
            " those of the LiDAR that took the training data"
        )
