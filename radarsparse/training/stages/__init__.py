"""What each training stage learns: its network and its losses for some scan pairs."""

from radarsparse.training.stages.batch import Cloud, TrainingBatch, to_points
from radarsparse.training.stages.edm import EdmStage
from radarsparse.training.stages.vae import VaeStage

Stage = VaeStage | EdmStage

__all__ = ["Cloud", "EdmStage", "Stage", "TrainingBatch", "VaeStage", "to_points"]
