import torch

from radarsparse.benchmark import vae_time
from radarsparse.benchmark.lines import number_lines
from radarsparse.benchmark.vae_time import time_vae
from tests.conftest import tiny_config, tiny_pair
from tests.pretended.kernels import pretended_gpu


def test_both_are_timed_where_there_is_a_gpu_on_it(frames, library, monkeypatch):
    dense_step = vae_time._dense_step
    monkeypatch.setattr(vae_time, "_dense_step", lambda _, device: dense_step((4, 8, 8), device))
    config = tiny_config(frames, "vae")
    numbers = time_vae(config, tiny_pair(0), 1, 1)
    assert numbers["device"] == f"cpu, {torch.get_num_threads()} threads"
    assert min(numbers[f"{name}_step_s"] for name in ("sparse", "dense", "dense_same_volume")) > 0
    with pretended_gpu(library) as device, monkeypatch.context() as patch:
        patch.setattr("torch.cuda.max_memory_allocated", lambda _: 1)
        there = time_vae(config, tiny_pair(0), 1, 1)
        assert there["device"] == torch.cuda.get_device_name()
    assert device.launches.total() > 0
    assert there.keys() == numbers.keys()
    assert len(number_lines(there).splitlines()) == len(numbers)
