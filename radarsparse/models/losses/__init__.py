"""Losses on sparse tensors; each is a mean per sample, then over the batch."""

from radarsparse.models.losses.by_level import by_noise_level, divide_by_shares
from radarsparse.models.losses.composite import latent_terms, occupancy_terms, point_terms
from radarsparse.models.losses.detail import ComparedVoxels, intensity_loss, kl_loss, offset_loss
from radarsparse.models.losses.occupancy import dice_loss, focal_loss, split_loss
from radarsparse.models.losses.perceptual import PerceptualLoss, random_pyramid
from radarsparse.models.losses.reduce import Term, mean_per_sample, means_by_sample, weigh
from radarsparse.models.losses.structure import least_direction, neighbour_loss, normal_loss

__all__ = [
    "ComparedVoxels",
    "PerceptualLoss",
    "Term",
    "by_noise_level",
    "dice_loss",
    "divide_by_shares",
    "focal_loss",
    "intensity_loss",
    "kl_loss",
    "latent_terms",
    "least_direction",
    "mean_per_sample",
    "means_by_sample",
    "neighbour_loss",
    "normal_loss",
    "occupancy_terms",
    "offset_loss",
    "point_terms",
    "random_pyramid",
    "split_loss",
    "weigh",
]
