"""Devices, precision and processes: Lightning Fabric, set up from the environment of `torchrun`."""

import atexit
import gc
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NoReturn

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning_fabric.strategies.ddp import DDPStrategy

from radarsparse.config import PrecisionName
from radarsparse.errors import EXIT_INPUT_ERROR, InputError


@dataclass(frozen=True)
class Rank:
    """One of the processes that train together."""

    number: int = 0
    world_size: int = 1


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
    if cuda:  # products of half precision must not sum their parts in it, as torch allows
        matmul = torch.backends.cuda.matmul
        matmul.allow_fp16_reduced_precision_reduction = False
        matmul.allow_bf16_reduced_precision_reduction = False
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


def is_so_anywhere(fact: bool, fabric: Fabric) -> bool:
    """Whether something is so for any of the processes, all of which must ask."""
    if fabric.world_size == 1:
        return fact
    count = torch.tensor(float(fact), device=fabric.device)
    torch.distributed.all_reduce(count)
    return count.item() > 0


def gather(own: Iterable[Any], rank: Rank) -> list[Any]:
    """What all processes have, each of which must ask."""
    parts: list[Any] = [list(own)]
    if rank.world_size > 1:
        parts *= rank.world_size
        torch.distributed.all_gather_object(parts, parts[0])
    return [each for part in parts for each in part]


def refuse_together(fault: str, rank: Rank) -> NoReturn:
    """End all processes, of which the first one says why.

    Raises:
        InputError: in the first process.
    """
    if rank.number == 0:
        raise InputError(fault)
    time.sleep(1.0)  # torchrun ends all of them as soon as it finds one that has ended
    raise SystemExit(EXIT_INPUT_ERROR)


def _end_gloo() -> None:
    """End Gloo's threads, which abort a process whose interpreter they outlive.

    They end with the last network that uses them, and networks lie in reference cycles.
    """
    gc.collect()
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
