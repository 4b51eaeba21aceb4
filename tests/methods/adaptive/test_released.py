import numpy as np
import torch

from kdlib.methods.adaptive.released import batch_means, draw_batches


def test_means_of_mini_batches_in_order():
    assert batch_means(torch.arange(8.0), 3).tolist() == [1, 4]


def test_the_first_draw_knows_no_diversity():
    """Its probabilities are 1 + loss, whatever the features are: counted over many draws."""
    torch.manual_seed(0)
    features, losses = torch.randn(4, 5), torch.tensor([0.0, 0.5, 1.0, 9.0])
    drawn = torch.cat([draw_batches(features, losses, 1) for _ in range(6000)])
    shares = torch.bincount(drawn, minlength=3) / 6000
    # The last batch is never drawn.
    assert len(shares) == 3
    torch.testing.assert_close(shares, torch.tensor([1.0, 1.5, 2.0]) / 4.5, atol=0.02, rtol=0)


def test_batches_come_out_twice():
    torch.manual_seed(0)
    features, losses = torch.randn(10, 20), torch.rand(10)
    runs = [draw_batches(features, losses, 4).tolist() for _ in range(300)]
    assert np.mean([len(set(run)) < 4 for run in runs]) > 0.4
    assert all(max(run) < 9 for run in runs)
