import torch
from torch.nn import functional as F

from radarsparse.models.losses import detail_losses, kl_loss, mean_per_sample, split_loss
from radarsparse.models.vae import Split
from radarsparse.sparse import SparseTensor
from tests.oracles import random_sparse


def test_mean_is_taken_per_sample_first():
    values = torch.tensor([1.0, 3.0, 10.0, 99.0])
    sample = torch.tensor([0, 0, 1, 1])
    weights = torch.tensor([1.0, 1.0, 2.0, 0.0])
    assert mean_per_sample(values, sample, 2, weights).item() == (2.0 + 10.0) / 2
    # A sample without weight counts as zero.
    assert mean_per_sample(values, sample, 4, weights).item() == 3.0


def test_split_loss_is_the_weighted_cross_entropy_of_a_loop():
    parents = random_sparse(1, batch=(0, 1), batch_size=2).support
    torch.manual_seed(0)
    logits, truth = torch.randn(len(parents), 8), torch.rand(len(parents), 8) > 0.6
    expected = 0.0
    for b in (0, 1):
        rows = parents.coords[:, 0] == b
        log_p, log_q = F.logsigmoid(logits[rows]), F.logsigmoid(-logits[rows])
        expected -= torch.where(truth[rows], 2.0 * log_p, log_q).mean().item() / 2
    loss = split_loss(Split(parents, logits, truth), positive_weight=2.0)
    torch.testing.assert_close(loss.item(), expected, rtol=1e-5, atol=0)


def test_details_count_at_true_voxels_only():
    coords = torch.tensor([[0, 0, 0, 0], [0, 0, 0, 1], [0, 0, 0, 2]])
    lidar = SparseTensor(torch.tensor([[0.1, 0.2, 0.3, 0.5, 0.0]]), coords[:1])
    decoded = SparseTensor(torch.tensor([[0.4, 0.2, 0.0, 0.1], [9.0] * 4, [9.0] * 4]), coords)
    offset, intensity = detail_losses(decoded, lidar)
    torch.testing.assert_close(offset, torch.tensor(0.2))
    torch.testing.assert_close(intensity, torch.tensor(0.4))


def test_divergence_is_that_of_torch_distributions():
    mean = random_sparse(3, batch=(0,), batch_size=1)
    log_variance = torch.randn_like(mean.feats)
    drawn = torch.distributions.Normal(mean.feats, (0.5 * log_variance).exp())
    unit = torch.distributions.Normal(torch.zeros_like(mean.feats), 1.0)
    expected = torch.distributions.kl_divergence(drawn, unit).sum(1).mean()
    torch.testing.assert_close(kl_loss(mean, log_variance), expected)
