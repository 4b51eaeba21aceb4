"""The oracle learns from the true posterior: its loss by hand, its gradient, what it refuses."""

from dataclasses import replace
from math import log

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from kdlib import models
from kdlib.clips.augmentation import Augmentation
from kdlib.clips.batches import Batch, ClipSource, training_batches
from kdlib.clips.sampling import Sampling
from kdlib.data.generated import GeneratedSpec
from kdlib.data.generated import videos as generate
from kdlib.errors import UserError
from kdlib.methods import build


@pytest.fixture
def batch():
    torch.manual_seed(5)
    posterior = torch.tensor([[0.75, 0.25, 0.0], [0.0, 0.5, 0.5], [0.1, 0.1, 0.8], [1.0, 0, 0]])
    return Batch(
        torch.randn(4, 3, 4, 16, 16),
        torch.tensor([0, 2, 2, 0]),
        torch.arange(4),
        known={"posterior": posterior},
    )


class Fixed(nn.Module):
    """A student whose logits are its parameters."""

    def __init__(self, logits):
        super().__init__()
        self.logits = nn.Parameter(torch.tensor(logits))

    def forward(self, clips):
        return self.logits


def test_the_loss_is_that_of_hand_computed_numbers(batch):
    # The student says (1/2, 1/4, 1/4) of two clips.
    known = {"posterior": torch.tensor([[0.75, 0.25, 0.0], [0.0, 0.5, 0.5]])}
    two = replace(batch, labels=torch.tensor([0, 2]), known=known)
    method = build("oracle", Fixed([[log(2), 0.0, 0.0]] * 2), [], label_weight=0.5, weight=2.0)
    output = method.step(two, 0)
    cross_entropy = (log(2) + log(4)) / 2
    divergence = (0.75 * log(1.5) + 0.25 * log(1) + log(2)) / 2
    assert output.parts["cross_entropy"].item() == pytest.approx(0.5 * cross_entropy)
    assert output.parts["distillation"].item() == pytest.approx(2 * divergence)
    assert output.loss.item() == pytest.approx(0.5 * cross_entropy + 2 * divergence)


def test_its_gradient_draws_the_probabilities_to_posterior_and_label(batch):
    student = Fixed([[0.3, -1.0, 2.0], [0.0, 0.0, 1.0], [5.0, -5.0, 0.0], [1.0, 1.0, 1.0]])
    method = build("oracle", student, [])
    method.step(batch, 0).loss.backward()
    said, label = student.logits.detach().softmax(1), F.one_hot(batch.labels, 3)
    expected = 0.1 * (said - label) + 0.9 * (said - batch.known["posterior"])
    torch.testing.assert_close(student.logits.grad, expected / 4)


def test_on_a_certain_posterior_it_is_training_on_labels(tiny, batch):
    certain = replace(batch, known={"posterior": F.one_hot(batch.labels, 3).float()})
    oracle = build("oracle", tiny(), []).eval().step(certain, 0)
    torch.testing.assert_close(
        oracle.loss, build("supervised", tiny(), []).eval().step(batch, 0).loss
    )


def test_the_risk_on_posteriors_is_the_mean_of_that_on_drawn_labels(tiny, batch):
    """As in Menon et al. 2021, shown by drawing; KL lacks the posterior's own entropy."""
    method = build("oracle", tiny(), [], label_weight=0.0, weight=1.0).eval()
    posterior = batch.known["posterior"]
    output = method.step(batch, 0)
    drawn = torch.multinomial(posterior, 4000, replacement=True).T  # (draws, B)
    risks = F.cross_entropy(output.output.detach().expand(4000, -1, -1).mT, drawn).item()
    entropy = torch.special.entr(posterior).sum(1).mean().item()
    assert output.loss.item() + entropy == pytest.approx(risks, abs=0.02)


def test_steps_on_generated_clips_lower_its_loss():
    spec = GeneratedSpec("mix12", 0, frames=2, size=16, overlap=1.0, label_noise=0.2)
    source = ClipSource(
        generate(spec, "train", 24), Sampling("segments", 2), Augmentation(), 16,
        known=("posterior",),
    )  # fmt: skip
    batch = next(training_batches(source, 24, seed=0, epoch=0, device=torch.device("cpu")))
    torch.manual_seed(0)
    method = build("oracle", models.build("tsn", 12, width=4), [])
    optimiser = torch.optim.SGD(method.parameters(), 0.1)
    losses = []
    for _ in range(8):
        optimiser.zero_grad()
        loss = method.step(batch, 0).loss
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert np.isfinite(losses).all()
    assert losses[-1] < losses[0] - 0.05


def test_half_precision_is_computed_in_single(batch):
    logits = [[9.0, -9.0, 1.0]] * 4
    whole = build("oracle", Fixed(logits), []).step(batch, 0).parts["distillation"]
    half = build("oracle", Fixed(logits).bfloat16(), []).step(batch, 0).parts["distillation"]
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, whole)


def test_what_it_cannot_use_is_refused_in_one_line(tiny, batch):
    with pytest.raises(UserError, match=r'data\.known: the oracle needs the "posterior"'):
        build("oracle", tiny(), []).step(replace(batch, known={}), 0)
    with pytest.raises(UserError, match="oracle takes none, got 1"):
        build("oracle", tiny(), [tiny(1)])
    with pytest.raises(UserError, match="weight: -1"):
        build("oracle", tiny(), [], weight=-1.0)
