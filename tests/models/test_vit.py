"""Vision transformers: printed sizes, positions by loops, and what the encoder looks at."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from kdlib import models
from kdlib.errors import UserError
from kdlib.methods.supervised import Supervised
from kdlib.models import vit
from kdlib.models.cost import cost, macs
from kdlib.models.vit import Attention, patchify, positions_of
from kdlib.runs.rehearsal import rehearse
from kdlib.runs.spec import DataSpec, ModelSpec, RunSpec
from kdlib.training.recipe import Recipe

SMALL = {"width": 32, "blocks": 2, "patch": 8}


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


# Millions of parameters and GFLOPs of MVD's Table 10, for AVA's 80 actions at 16 x 224 x 224.
@pytest.mark.parametrize(
    ("backbone", "parameters", "gflops"),
    [("vit_b", 87, 180), ("vit_l", 305, 597), ("vit_h", 633, 1192)],
)
def test_printed_sizes(backbone, parameters, gflops):
    found = cost("vit", 80, (3, 16, 224, 224), backbone=backbone)
    assert found["parameters"] / 1e6 == pytest.approx(parameters, rel=0.01)
    assert found["gmacs"] == pytest.approx(gflops, rel=0.002)


@pytest.mark.parametrize(
    ("options", "clip"),
    [
        (SMALL, (8, 32, 32)),
        (SMALL | {"patch": 4, "tubelet": 4}, (8, 32, 16)),
        (SMALL | {"image": True, "class_token": True}, (3, 32, 32)),
    ],
)
def test_cost_by_hand(options, clip):
    image, patch, tubelet = "image" in options, options["patch"], options.get("tubelet", 2)
    frames, tubelet = (clip[0], 1) if image else (clip[0] // tubelet, tubelet)
    place = clip[1] // patch * (clip[2] // patch)
    width, numbers = 32, 3 * tubelet * patch**2
    together = place + 1 if image else frames * place
    sequences = frames if image else 1
    block = 12 * width**2 * together + 2 * width * together**2
    products = sequences * 2 * block + frames * place * numbers * width + width * 5
    weights = 2 * (12 * width**2 + 12 * width) + numbers * width + width + image * width
    found = cost("vit", 5, (3, *clip), **options)
    assert found["parameters"] == weights + 2 * width + 5 * width + 5
    assert round(found["gmacs"] * 1e9) == products


@pytest.mark.parametrize(
    ("options", "clip", "expected"),
    [
        (SMALL, (8, 32, 32), (32, 4, 4, 4)),
        (SMALL | {"tubelet": 4, "patch": 4}, (8, 32, 32), (32, 2, 8, 8)),
        (SMALL | {"image": True}, (8, 32, 32), (32, 8, 4, 4)),
        (SMALL | {"image": True}, (1, 16, 24), (32, 1, 2, 3)),
        ({"width": 48, "heads": 3}, (8, 32, 32), (48, 4, 2, 2)),
    ],
)
def test_map(options, clip, expected):
    model = models.build("vit", 5, **options)
    clips = torch.randn(2, 3, *clip)
    assert model.features(clips).shape == (2, *expected)
    assert model(clips).shape == (2, 5)
    assert model.channels == expected[0]


def axis(place, width):
    """Sines, then cosines, of one place along one axis."""
    angles = [place / 10_000 ** (k / (width // 2)) for k in range(width // 2)]
    return [*map(math.sin, angles), *map(math.cos, angles)]


def test_positions_by_axes():
    found = positions_of((2, 3, 4), 32, "axes", "cpu")
    rows = [axis(t, 8) + axis(x, 12) + axis(y, 12) for t, y, x in np.ndindex(2, 3, 4)]
    torch.testing.assert_close(found, torch.tensor(rows))
    assert len(found.unique(dim=0)) == 24


def test_positions_of_images():
    found = positions_of((1, 3, 4), 32, "space", "cpu")
    rows = [axis(x, 16) + axis(y, 16) for _, y, x in np.ndindex(1, 3, 4)]
    torch.testing.assert_close(found, torch.tensor(rows))


def test_positions_by_index():
    found = positions_of((2, 3, 4), 16, "index", "cpu")
    for place in range(24):
        for channel in range(16):
            angle = place / 10_000 ** (2 * (channel // 2) / 16)
            wave = math.cos(angle) if channel % 2 else math.sin(angle)
            assert found[place, channel] == pytest.approx(wave, abs=1e-6)


def test_positions_first_asked_for_in_inference_mode_serve_training():
    vit._positions.cache_clear()
    model = models.build("vit", 5, **SMALL)
    with torch.inference_mode():
        model(torch.randn(1, 3, 8, 32, 32))
    model(torch.randn(1, 3, 8, 32, 32)).sum().backward()


def test_patches_by_loop():
    clips = torch.randn(2, 3, 4, 6, 9)
    found = patchify(clips, 2, 3).unflatten(2, (2, 3, 3, 3))
    for number, (t, y, x) in enumerate(np.ndindex(2, 2, 3)):
        patch = clips[:, :, 2 * t : 2 * t + 2, 3 * y : 3 * y + 3, 3 * x : 3 * x + 3]
        assert torch.equal(found[:, number], patch.movedim(1, -1))


def test_attention_is_torch_s():
    ours = Attention(16, 4)
    theirs = nn.MultiheadAttention(16, 4, batch_first=True)
    nn.init.normal_(ours.query_value.bias)
    (query, value), (q_bias, v_bias) = (
        parameter.chunk(2) for parameter in (ours.query_value.weight, ours.query_value.bias)
    )
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([query, ours.key.weight, value]))
        # whatever the bias of keys
        theirs.in_proj_bias.copy_(torch.cat([q_bias, torch.randn(16), v_bias]))
    theirs.out_proj.load_state_dict(ours.out.state_dict())
    tokens = torch.randn(2, 7, 16)
    expected = theirs(tokens, tokens, tokens, need_weights=False)[0]
    torch.testing.assert_close(ours(tokens), expected)


def test_linear_layers_start_xavier_uniform():
    model = models.build("vit", 5, width=256, blocks=1)
    block = model.backbone.blocks[0]
    for weight, fan in (
        (block.attention.query_value.weight, 4 * 256),
        (block.attention.key.weight, 4 * 256),
        (block.attention.out.weight, 2 * 256),
        (block.mlp[0].weight, 5 * 256),
    ):
        assert float(weight.detach().abs().max()) == pytest.approx(math.sqrt(6 / fan), rel=1e-3)
        assert float(weight.detach().std()) == pytest.approx(math.sqrt(2 / fan), rel=0.02)
    assert block.attention.key.bias is None


@pytest.mark.parametrize("image", [False, True])
def test_hidden_tokens_are_never_looked_at(image):
    model = models.build("vit", 5, **SMALL, image=image).eval()
    clips = torch.randn(2, 3, 8, 32, 32)
    plane = torch.tensor([[0, 5], [3, 15]])
    times = 8 if image else 4
    visible = torch.cat([plane + 16 * t for t in range(times)], 1)
    seen = model.backbone.tokens(clips, visible)
    assert seen.shape == (2, 2 * times, 32)
    changed = clips.clone()
    changed[0, :, :, 8:, 16:] = 9.0
    torch.testing.assert_close(model.backbone.tokens(changed, visible)[0], seen[0])
    changed[0, :, :, :8, :8] = 9.0
    assert not torch.allclose(model.backbone.tokens(changed, visible)[0], seen[0])


@pytest.mark.parametrize("options", [{}, {"image": True, "class_token": True}])
def test_all_tokens_visible_are_the_map(options):
    model = models.build("vit", 5, **SMALL, **options).eval()
    clips = torch.randn(2, 3, 8, 32, 32)
    maps = model.features(clips)
    every = torch.arange(maps[0, 0].numel()).expand(2, -1)
    torch.testing.assert_close(model.backbone.tokens(clips, every), maps.flatten(2).mT)


def test_an_image_network_sees_each_frame_by_itself():
    model = models.build("vit", 5, **SMALL, image=True).eval()
    clips = torch.randn(1, 3, 4, 32, 32)
    alone = torch.cat([model.features(clips[:, :, t : t + 1]) for t in range(4)], 2)
    torch.testing.assert_close(model.features(clips), alone)


@pytest.mark.parametrize("positions", ["axes", "index"])
def test_the_order_of_frames_matters(positions):
    model = models.build("vit", 5, **SMALL, positions=positions).eval()
    clips = torch.randn(1, 3, 8, 32, 32)
    pooled = [model.features(c).mean((2, 3, 4)) for c in (clips, clips.roll(2, 2))]
    assert not torch.allclose(*pooled, atol=1e-3)


def test_an_image_network_becomes_a_video_network():
    """Of clips that stand still the inflated embedding is that of the image."""
    image = models.build("vit", 5, **SMALL, image=True)
    video = models.build("vit", 5, **SMALL)
    video.backbone.load_state_dict(image.backbone.state_dict())
    frame = torch.randn(2, 3, 1, 32, 32)
    still = frame.repeat(1, 1, 2, 1, 1)
    torch.testing.assert_close(
        video.backbone.embedding(patchify(still, 2, 8)),
        image.backbone.embedding(patchify(frame, 1, 8)),
    )


def test_layers_are_all_parts_in_order():
    backbone = models.build("vit", 5, **SMALL).backbone
    assert backbone.layers == [backbone.embedding, *backbone.blocks]
    counted = sum(p.numel() for layer in backbone.layers for p in layer.parameters())
    assert counted == sum(p.numel() for p in backbone.parameters())


def test_drop_path_grows_from_zero_and_acts_in_train_mode_only():
    model = models.build("vit", 4, **SMALL | {"blocks": 3}, drop_path=0.5)
    assert [b.drop_path.p for b in model.backbone.blocks] == pytest.approx([0, 0.25, 0.5])
    clips = torch.randn(2, 3, 8, 32, 32)
    assert not torch.equal(model.train().features(clips), model.features(clips))
    assert torch.equal(model.eval().features(clips), model.features(clips))


@pytest.mark.parametrize(("backbone", "std"), [("micro", 0.02), ("vit_s", 2e-5)])
def test_the_head_starts_small(backbone, std):
    head = models.build("vit", 400, backbone=backbone).head.fc
    assert float(head.weight.detach().std()) == pytest.approx(std, rel=0.05)
    assert not head.bias.any()


def test_the_head_normalises_the_pooled_map():
    model = models.build("vit", 4, **SMALL)
    maps = 50 * torch.randn(2, 32, 4, 4, 4) + 3
    pooled = maps.mean((2, 3, 4))
    centred = pooled - pooled.mean(1, keepdim=True)
    normal = centred / (pooled.var(1, correction=0, keepdim=True) + 1e-6).sqrt()
    expected = normal @ model.head.fc.weight.T
    torch.testing.assert_close(model.head(maps), expected)
    with pytest.raises(UserError, match="no logits by place"):
        model.head.by_place(maps)


def test_a_head_of_maxima_sees_what_is_on_one_place_and_averages_over_time():
    model = models.build("vit", 4, **SMALL, head_norm="batch", pool="max").eval()
    maps = torch.zeros(2, 32, 4, 4, 4)
    maps[0, :, 1, 2, 3], maps[0, :, 3, 0, 1] = 8.0, 4.0
    pooled = torch.stack([torch.full((32,), 3.0), torch.zeros(32)])
    torch.testing.assert_close(model.head(maps), model.head.of_pooled(pooled))
    assert not torch.allclose(*model.head(maps))


def test_a_batch_norm_in_the_head_leaves_what_tells_clips_apart():
    model = models.build("vit", 4, **SMALL, head_norm="batch")
    assert not list(model.head.norm.parameters())
    common, own = 100 * torch.randn(1, 32, 1, 1, 1), torch.randn(8, 32, 1, 1, 1)
    pooled = own.flatten(1)
    normal = (pooled - pooled.mean(0)) / pooled.std(0, correction=0)
    found = model.head((common + own).expand(-1, -1, 4, 4, 4))
    torch.testing.assert_close(found, normal @ model.head.fc.weight.T, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("clip", "options", "words"),
    [
        ((7, 32, 32), {}, "data.frames: a multiple of the tubelet, 2, not 7"),
        ((8, 32, 36), {}, "data.size: a multiple of the patch, 8, not 36"),
        ((6, 32, 32), {"tubelet": 4}, "data.frames: a multiple of the tubelet, 4, not 6"),
    ],
)
def test_clips_that_patches_do_not_fill_are_refused(clip, options, words):
    with pytest.raises(UserError, match=words):
        models.build("vit", 4, **SMALL | options)(torch.randn(1, 3, *clip))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"width": 40}, "vit.width: 40.*multiple of 16"),
        ({"width": 32, "heads": 5}, "vit.heads: a divisor of the width, 32"),
        ({"backbone": "vit_s", "width": 32}, "vit.width: vit_s has its own width"),
        ({"backbone": "vit_t"}, "vit.backbone: unknown"),
    ],
)
def test_impossible_options_are_refused(options, words):
    with pytest.raises(UserError, match=words):
        models.build("vit", 4, **options)


def test_rehearsal_counts_what_cost_does():
    data = DataSpec("generated/motion12", train=8, test=8, frames=8, size=32)
    spec = RunSpec(data, ModelSpec("vit", SMALL), Recipe(epochs=1, learning_rate=0.1))
    model = models.build("vit", 12, **SMALL)
    assert rehearse(spec).evaluation.macs == macs(model, (3, 8, 32, 32))
    with pytest.raises(UserError, match="multiple of the tubelet"):
        rehearse(replace(spec, data=replace(data, frames=7)))


def test_gradients_reach_all_parameters():
    method = Supervised(models.build("vit", 4, **SMALL, class_token=True, image=True))
    method.student(torch.randn(2, 3, 2, 32, 32)).square().sum().backward()
    assert all(p.grad is not None for p in method.student.parameters())
