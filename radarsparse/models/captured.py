"""The denoiser as a CUDA graph: one launch in place of some hundreds."""

import logging
from threading import Lock
from typing import Any

import torch
from torch import Tensor

from radarsparse.models.denoiser import Denoiser
from radarsparse.sparse import SparseTensor, use_engine
from radarsparse.sparse.engines import engine_in_use

# The first passes build plans and workspaces, which a graph must find.
_WARM_UP = 2
_LOCK = Lock()
_log = logging.getLogger("radarsparse")


class CapturedDenoiser:
    """A denoiser whose passes on CUDA are recorded on a lattice once and replayed ever after.

    It is recorded with the torch engine, since spconv waits for the GPU. Where the engine `spconv`
    is asked for, where gradients are, on the CPU, or where recording fails, which is said once, the
    denoiser runs as it is.

    Args:
        denoiser: the network; its weights may change in place, or move all together.
    """

    def __init__(self, denoiser: Denoiser) -> None:
        self.denoiser = denoiser
        self._recording: _Recording | None = None
        self._can_record = True

    def __call__(self, state: Tensor, label: Tensor, context: SparseTensor) -> Tensor:
        """As `Denoiser.forward`."""
        if not state.is_cuda or torch.is_grad_enabled() or engine_in_use() == "spconv":
            return self.denoiser(state, label, context)
        # Threads share a graph's inputs and outputs.
        with _LOCK, torch.cuda.device(state.device):
            if self._recording is None or not self._recording.suits(state, context):
                self._recording = None  # before memory is needed for the next one
                self._recording = self._record(state, label, context)
            if self._recording is not None:
                return self._recording.replay(state, label, context.feats)
        return self.denoiser(state, label, context)

    def _record(self, state: Tensor, label: Tensor, context: SparseTensor) -> "_Recording | None":
        if not self._can_record:
            return None
        try:
            return _Recording(self.denoiser, state, label, context)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:  # what torch raises, whatever its driver lacks
            self._can_record = False
            _log.warning("the denoiser runs without a CUDA graph: %s", error)
            return None

    def __getstate__(self) -> dict[str, Any]:
        """For a copy, which records anew."""
        return {**vars(self), "_recording": None, "_can_record": True}


class _Recording:
    """One pass on a lattice: where its inputs go, its graph, and where its output comes."""

    def __init__(
        self, denoiser: Denoiser, state: Tensor, label: Tensor, context: SparseTensor
    ) -> None:
        self._denoiser, self._support = denoiser, context.support
        self._place = denoiser.head.weight.data_ptr(), state.dtype
        self._inputs = state.clone(), label.clone(), context.feats.clone()
        with use_engine("torch"):
            self._warm_up()
            self._graph = torch.cuda.CUDAGraph()
            # Other threads may go on with what a recording forbids.
            with torch.cuda.graph(self._graph, capture_error_mode="thread_local"):
                self._output = self._run()

    def suits(self, state: Tensor, context: SparseTensor) -> bool:
        """Whether the graph is one of this lattice, and weights lie where it knows them."""
        place = self._denoiser.head.weight.data_ptr(), state.dtype
        return self._support is context.support and self._place == place

    def replay(self, *inputs: Tensor) -> Tensor:
        """The output for other inputs; the current stream does the work."""
        for place, given in zip(self._inputs, inputs, strict=True):
            place.copy_(given)
        self._graph.replay()
        return self._output.clone()

    def _warm_up(self) -> None:
        stream, current = torch.cuda.Stream(), torch.cuda.current_stream()
        stream.wait_stream(current)
        with torch.cuda.stream(stream):
            for _ in range(_WARM_UP):
                self._run()
        current.wait_stream(stream)

    def _run(self) -> Tensor:
        state, label, feats = self._inputs
        return self._denoiser(state, label, SparseTensor.on(self._support, feats))
