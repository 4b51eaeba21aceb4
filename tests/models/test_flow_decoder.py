import torch
from torch.nn import functional as F

from kdlib.models.cost import parameters
from kdlib.models.flow_decoder import FlowDecoder


def test_its_sizes_are_pwc_nets():
    """192 channels in; each convolution sees what all before it made."""
    decoder = FlowDecoder(192, 3)
    inputs = [conv.in_channels for conv in decoder.convs]
    assert inputs == [192, 320, 448, 544, 608]
    assert decoder.predict.in_channels == 640
    outputs = (128, 128, 96, 64, 32)
    weights = sum(9 * i * o + o for i, o in zip(inputs, outputs, strict=True))
    assert parameters(decoder) == weights + 9 * 640 * 3 + 3
    narrow = [conv.out_channels for conv in FlowDecoder(24, 2, width=16).convs]
    assert narrow == [16, 16, 12, 8, 4]


def test_each_time_step_by_hand():
    torch.manual_seed(0)
    decoder, maps = FlowDecoder(5, 3, width=8), torch.randn(2, 5, 4, 6, 7)
    found = decoder(maps)
    assert found.shape == (2, 4, 3, 6, 7)
    for step in range(4):
        seen = maps[:, :, step]
        for conv in decoder.convs:
            made = conv(seen)
            seen = torch.cat([torch.where(made > 0, made, 0.1 * made), seen], 1)
        expected = F.conv2d(seen, decoder.predict.weight, decoder.predict.bias, padding=1)
        torch.testing.assert_close(found[:, step], expected)


def test_channel_last_changes_nothing():
    torch.manual_seed(0)
    decoder, maps = FlowDecoder(5, 2, width=8), torch.randn(2, 5, 4, 6, 7)
    last = maps.contiguous(memory_format=torch.channels_last_3d)
    torch.testing.assert_close(decoder(last), decoder(maps))
