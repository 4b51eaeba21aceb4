import pytest
import torch

from kdlib.models.cost import parameters
from kdlib.models.masked_decoder import MaskedDecoder


@pytest.fixture
def decoder():
    torch.manual_seed(0)
    return MaskedDecoder(24, 10, width=16, blocks=2, heads=2, drop_path=0.0).eval()


def test_predictions_stand_in_the_order_of_the_masked_places(decoder):
    tokens, places = torch.randn(2, 3, 24), torch.randn(8, 16)
    visible, masked = torch.tensor([[0, 2, 7], [1, 3, 5]]), torch.tensor([[1, 3], [6, 0]])
    found = decoder(tokens, places, visible, masked)
    assert found.shape == (2, 2, 10)
    torch.testing.assert_close(decoder(tokens, places, visible, masked.flip(1)), found.flip(1))
    # a set of tokens: only positions tell them apart
    order = [2, 0, 1]
    torch.testing.assert_close(decoder(tokens[:, order], places, visible[:, order], masked), found)
    assert not torch.allclose(decoder(tokens, places.flip(0), visible, masked), found, atol=1e-3)


def test_a_clip_is_predicted_from_its_own_tokens(decoder):
    tokens, places = torch.randn(2, 3, 24), torch.randn(8, 16)
    visible, masked = torch.tensor([[0, 2, 7]] * 2), torch.tensor([[1, 3]] * 2)
    found = decoder(tokens, places, visible, masked)
    changed = tokens.clone()
    changed[1, 1] += 1
    moved = decoder(changed, places, visible, masked)
    torch.testing.assert_close(moved[0], found[0])
    assert (moved[1] - found[1]).abs().amax(1).min() > 1e-3


def test_size_and_start(decoder):
    block = 12 * 16**2 + 12 * 16
    assert parameters(decoder) == 24 * 16 + 16 + 16 + 2 * block + 2 * 16 + 16 * 10 + 10
    drawn = MaskedDecoder(4, 4, width=4096, blocks=0, heads=1, drop_path=0.0).mask_token.detach()
    assert float(drawn.abs().max()) <= 0.02
    # of a normal distribution cut off at one standard deviation
    assert float(drawn.std()) == pytest.approx(0.02 * 0.5396, rel=0.05)


def test_the_printed_size_of_a_student_with_two_decoders():
    """MVD's ViT-B with decoders of two blocks has 116.9 million parameters."""
    from kdlib import methods, models

    with torch.device("meta"):
        student, image = (
            models.build("vit", 400, backbone="vit_b", image=image) for image in (False, True)
        )
        video = models.build("vit", 400, backbone="vit_b", positions="index")
        method = methods.build("mvd", student, [image, video], mask_ratio=0.9)
    found = parameters(student.backbone) + method.own_parameters()
    assert found / 1e6 == pytest.approx(116.9, rel=0.01)
