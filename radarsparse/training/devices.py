"""Devices, precision and processes: Lightning Fabric, set up from the environment of `torchrun`."""

import atexit
import gc
import os

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning_fabric.strategies.ddp import DDPStrategy

from radarsparse.config import PrecisionName
from radarsparse.errors import InputError
from radarsparse.training.loader import Rank


def start_fabric(precision: PrecisionName) -> Fabric:
    """The devices of this process and its neighbours: CUDA where there is one, else the CPU.

    Under `torchrun` every process gets a device of its own.

    Raises:
        InputError: the precision needs a CUDA device, or there are fewer devices than processes.
    """
    local, world = (int(os.environ.get(name, "1")) for name in ("LOCAL_WORLD_SIZE", "WORLD_SIZE"))
    cuda = torch.cuda.device_count()
    if precision == "16-mixed" and not cuda:
        raise InputError("train.precision = '16-mixed': needs a CUDA device; take 32 or bf16-mixed")
    if cuda and local > cuda:
        raise InputError(f"--nproc-per-node {local}: more processes than CUDA devices ({cuda})")
    fabric = Fabric(
        accelerator="cuda" if cuda else "cpu",
        devices=local,
        num_nodes=world // local,
        # Buffers are the same on all devices, since the networks sum over devices themselves.
        strategy=DDPStrategy(broadcast_buffers=False) if world > 1 else "auto",
        precision="32-true" if precision == "32" else precision,
        plugins=TorchElasticEnvironment() if world > 1 else LightningEnvironment(),
    )
    fabric.launch()
    if cuda:
        _sum_in_float32()
    if world > 1 and not cuda:
        atexit.register(_end_gloo)
    return fabric


def wait_for(device: torch.device) -> None:
    """Let a device end what it was sent."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def rank_of(fabric: Fabric) -> Rank:
    """Which of the processes this is."""
    return Rank(fabric.global_rank, fabric.world_size)


def _sum_in_float32() -> None:
    """Keep products of half precision from summing their parts in it, as torch allows."""
    matmul = torch.backends.cuda.matmul
    matmul.allow_fp16_reduced_precision_reduction = False
    matmul.allow_bf16_reduced_precision_reduction = False


def _end_gloo() -> None:
    """End Gloo's threads, which abort a process whose interpreter they outlive.

    They end with the last network that uses them, and networks lie in reference cycles.
    """
    gc.collect()
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
