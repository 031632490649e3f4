"""All losses of the VAE by name, each with its weight."""

from collections.abc import Sequence

from torch import Tensor

from radarsparse.config import VaeSettings
from radarsparse.models.losses.detail import ComparedVoxels, intensity_loss, kl_loss, offset_loss
from radarsparse.models.losses.occupancy import dice_loss, focal_loss, split_loss
from radarsparse.models.losses.reduce import Term
from radarsparse.models.losses.structure import neighbour_loss, normal_loss
from radarsparse.models.vae import Split
from radarsparse.sparse import SparseTensor


def occupancy_terms(splits: Sequence[Split], settings: VaeSettings) -> list[Term]:
    """What each level says of its children; named by the stride of the parents."""
    terms = []
    for split in splits:
        stride = split.parents.stride
        terms += [
            Term(f"split{stride}", settings.split_weight, lambda s=split: _split(s, settings)),
            Term(f"focal{stride}", settings.focal_weight, lambda s=split: focal_loss(s)),
            Term(f"dice{stride}", settings.dice_weight, lambda s=split: dice_loss(s)),
        ]
    return terms


def point_terms(match: ComparedVoxels, settings: VaeSettings) -> list[Term]:
    """What true voxels say of the points in them, alone and among their neighbours."""
    return [
        Term("offset", settings.offset_weight, lambda: offset_loss(match)),
        Term("intensity", settings.intensity_weight, lambda: intensity_loss(match)),
        Term("neighbour", settings.neighbour_weight, lambda: neighbour_loss(match)),
        Term("normal", settings.normal_weight, lambda: normal_loss(match)),
    ]


def latent_terms(mean: SparseTensor, log_variance: Tensor, settings: VaeSettings) -> list[Term]:
    """How far latents are from a standard normal."""
    return [Term("kl", settings.kl_weight, lambda: kl_loss(mean, log_variance))]


def _split(split: Split, settings: VaeSettings) -> Tensor:
    return split_loss(split, settings.positive_weight, settings.split_balance)
