"""What each training stage learns: its network and its losses for some scan pairs."""

from radarsparse.training.stages.denoiser_stage import DenoiserStage
from radarsparse.training.stages.edm_stage import EdmStage
from radarsparse.training.stages.few_step import DistillStage, EctStage, FewStepStage
from radarsparse.training.stages.training_batch import Cloud, TrainingBatch, to_points
from radarsparse.training.stages.vae_stage import VaeStage

Stage = VaeStage | DenoiserStage

__all__ = [
    "Cloud",
    "DistillStage",
    "EctStage",
    "EdmStage",
    "FewStepStage",
    "Stage",
    "TrainingBatch",
    "VaeStage",
    "to_points",
]
