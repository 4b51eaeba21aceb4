"""Orders, pairs and the loss of VCOP against what its definition says, clip by clip."""

from itertools import permutations
from math import factorial

import pytest
import torch

from kdlib.clips.batches import Batch
from kdlib.errors import UserError
from kdlib.methods import build
from kdlib.methods.vcop import pairs, shuffled


def draw(videos, clips, seed=0):
    generator = torch.Generator().manual_seed(seed)
    first, *others = torch.randn(clips, videos, 3, 2, 16, 16, generator=generator)
    return Batch(first, None, torch.arange(videos), tuple(others))


def test_a_shuffle_by_hand():
    features = torch.tensor([[[1.0], [2.0], [3.0]], [[4.0], [5.0], [6.0]]])
    found = shuffled(features, torch.tensor([[2, 0, 1], [0, 2, 1]]))
    assert found.squeeze(2).tolist() == [[3, 1, 2], [4, 6, 5]]


def test_pairs_by_hand():
    """First with second, first with third, second with third; the earlier first."""
    (found,) = pairs(torch.tensor([[[1.0, -1.0], [2.0, -2.0], [3.0, -3.0]]]))
    assert found.tolist() == [[1, -1, 2, -2], [1, -1, 3, -3], [2, -2, 3, -3]]


@pytest.mark.parametrize("clips", [3, 4, 5])
def test_every_order_has_its_number(tiny, clips):
    orders = build("vcop", tiny(), [], clips=clips).orders
    assert [tuple(order) for order in orders.tolist()] == list(permutations(range(clips)))


@pytest.mark.parametrize("clips", [3, 4, 5])
def test_the_loss_with_the_clips_themselves_shuffled(tiny, clips):
    """Each place's clips go through the student by themselves, as in the released code."""
    method, batch = build("vcop", tiny(), [], clips=clips).eval(), draw(7, clips)
    torch.manual_seed(1)
    found = method.step(batch, 0)
    torch.manual_seed(1)
    numbers = torch.randint(factorial(clips), (7,)).tolist()
    ordered = (batch.clips, *batch.others)
    losses = []
    for video, number in enumerate(numbers):
        order = list(permutations(range(clips)))[number]
        features = [
            method.student.features(ordered[k][video][None]).mean((2, 3, 4))[0] for k in order
        ]
        hidden = [
            torch.relu(
                method.pair.weight @ torch.cat([features[i], features[j]]) + method.pair.bias
            )
            for i in range(clips)
            for j in range(i + 1, clips)
        ]
        last = method.classifier[1]
        logits = last.weight @ torch.cat(hidden) + last.bias
        losses.append(torch.logsumexp(logits, 0) - logits[number])
    torch.testing.assert_close(found.loss, torch.stack(losses).mean(), rtol=1e-5, atol=1e-5)
    assert found.parts.keys() == {"order"}


def test_layers_have_the_published_sizes(tiny):
    """512 features: 1024 to 512 of each pair, six pairs of four clips, 24 orders."""
    method = build("vcop", tiny(), [], clips=4)
    wide = tiny()
    wide.channels = 512
    published = build("vcop", wide, [], clips=4)
    assert (published.pair.in_features, published.pair.out_features) == (1024, 512)
    assert published.classifier[1].weight.shape == (24, 6 * 512)
    assert published.classifier[0].p == 0.5
    assert "orders" not in method.own_state()


@pytest.mark.parametrize("there", [1, 2, 4])
def test_another_number_of_clips_is_refused(tiny, there):
    message = (
        r"data\.others: 3 clips in a row need 2 others, as Others\(strides=\(1, 1\), gap=8\), "
        rf"not {there - 1}$"
    )
    with pytest.raises(UserError, match=message):
        build("vcop", tiny(), []).step(draw(2, there), 0)


def test_six_clips_are_too_many(tiny):
    with pytest.raises(UserError, match=r"method vcop\.clips: unknown value 6; allowed: 3, 4, 5"):
        build("vcop", tiny(), [], clips=6)
