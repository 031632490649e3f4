import copy

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from radarsparse.training.trainer import MovingAverage

DECAY = 0.9


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 5), nn.BatchNorm1d(5, track_running_stats=False))


def stir(module: nn.Module) -> None:
    with torch.no_grad():
        for tensor in module.parameters():
            tensor.add_(torch.randn_like(tensor))


def test_the_average_is_that_of_torch_bit_by_bit_and_goes_on_from_its_state() -> None:
    followed = network()
    followed.register_buffer("mean", torch.ones(3))
    ours = MovingAverage(followed, DECAY)
    theirs = AveragedModel(followed, multi_avg_fn=get_ema_multi_avg_fn(DECAY), use_buffers=True)
    for step in range(5):
        stir(followed)
        followed.get_buffer("mean").add_(1.0)
        if step == 3:
            state = copy.deepcopy(theirs.state_dict())
            ours = MovingAverage(followed, DECAY)
            ours.load_state_dict(state)
        ours.follow()
        theirs.update_parameters(followed)
        assert list(ours.state_dict()) == list(theirs.state_dict())
        for name, value in theirs.state_dict().items():
            assert torch.equal(ours.state_dict()[name], value), name
