"""Public layouts, drawn at random, against a plain transformer on their own names."""

import argparse

import pytest
import torch
from torch.nn import functional as F

from kdlib import models
from kdlib.errors import UserError
from kdlib.models.vit import positions_of
from kdlib.models.vit_weights import converted, load_public

WIDTH, BLOCKS, HEADS, PATCH = 32, 2, 4, 8


def draw(shapes):
    torch.manual_seed(0)
    return {name: 0.2 * torch.randn(shape) for name, shape in shapes.items()}


def shapes_of(tubelet, prefix="", joint_bias=False, decoders=()):
    """Names and shapes of the released modules: an encoder and what is left out."""
    shapes = {
        "patch_embed.proj.weight": (WIDTH, 3, *((tubelet,) if tubelet else ()), PATCH, PATCH),
        "patch_embed.proj.bias": (WIDTH,),
        "norm.weight": (WIDTH,),
        "norm.bias": (WIDTH,),
    }
    for n in range(BLOCKS):
        own = {
            "norm1.weight": (WIDTH,), "norm1.bias": (WIDTH,),
            "attn.qkv.weight": (3 * WIDTH, WIDTH),
            "attn.proj.weight": (WIDTH, WIDTH), "attn.proj.bias": (WIDTH,),
            "norm2.weight": (WIDTH,), "norm2.bias": (WIDTH,),
            "mlp.fc1.weight": (4 * WIDTH, WIDTH), "mlp.fc1.bias": (4 * WIDTH,),
            "mlp.fc2.weight": (WIDTH, 4 * WIDTH), "mlp.fc2.bias": (WIDTH,),
        }  # fmt: skip
        if joint_bias:
            own["attn.qkv.bias"] = (3 * WIDTH,)
        else:
            own["attn.q_bias"] = own["attn.v_bias"] = (WIDTH,)
        shapes |= {f"blocks.{n}.{name}": shape for name, shape in own.items()}
    return {prefix + name: shape for name, shape in shapes.items()} | {
        name: (4,) for name in decoders
    }


def mae():
    others = ("decoder_embed.weight", "mask_token", "decoder_blocks.0.norm1.weight")
    shapes = shapes_of(0, joint_bias=True, decoders=(*others, "decoder_pred.bias"))
    shapes |= {"cls_token": (1, 1, WIDTH), "pos_embed": (1, 17, WIDTH)}
    return draw(shapes)


def videomae():
    others = ("decoder.blocks.0.attn.q_bias", "decoder.head.weight", "encoder_to_decoder.weight")
    return draw(shapes_of(2, "encoder.", decoders=(*others, "mask_token")))


def mvd():
    others = ("mask_token_img", "mask_token_vid", "down_img.weight", "decoder_vid.norm.bias")
    shapes = shapes_of(2, decoders=(*others, "decoder_img.blocks.1.attn.qkv.weight"))
    return draw(shapes | {name: (1, 64, WIDTH) for name in ("pos_embed", "pos_embed_img")})


def reference(state, clips, positions):
    """The last block's output (B, N, C) by the names of the released code, without the norm."""
    state = {name.removeprefix("encoder."): value for name, value in state.items()}
    weight, bias = state["patch_embed.proj.weight"], state["patch_embed.proj.bias"]
    if weight.ndim == 4:
        weight = weight[:, :, None]
    x = F.conv3d(clips, weight, bias, stride=weight.shape[2:]).flatten(2).mT + positions
    if "cls_token" in state:
        x = torch.cat([state["cls_token"].expand(len(x), -1, -1), x], 1)
    for n in range(BLOCKS):
        p = {k.removeprefix(f"blocks.{n}."): v for k, v in state.items() if k.startswith("blocks")}
        y = F.layer_norm(x, (WIDTH,), p["norm1.weight"], p["norm1.bias"], 1e-6)
        joint = p.get("attn.qkv.bias")
        if joint is None:
            joint = torch.cat([p["attn.q_bias"], torch.zeros(WIDTH), p["attn.v_bias"]])
        qkv = F.linear(y, p["attn.qkv.weight"], joint)
        q, k, v = qkv.reshape(len(x), -1, 3, HEADS, WIDTH // HEADS).permute(2, 0, 3, 1, 4)
        weights = (q @ k.mT * (WIDTH // HEADS) ** -0.5).softmax(-1)
        y = (weights @ v).transpose(1, 2).flatten(2)
        x = x + F.linear(y, p["attn.proj.weight"], p["attn.proj.bias"])
        y = F.layer_norm(x, (WIDTH,), p["norm2.weight"], p["norm2.bias"], 1e-6)
        y = F.gelu(F.linear(y, p["mlp.fc1.weight"], p["mlp.fc1.bias"]))
        x = x + F.linear(y, p["mlp.fc2.weight"], p["mlp.fc2.bias"])
    return x[:, 1:] if "cls_token" in state else x


def build(**options):
    sizes = {"width": WIDTH, "blocks": BLOCKS, "heads": HEADS, "patch": PATCH}
    return models.build("vit", 5, **sizes | options).eval()


LAYOUTS = {
    "mae": (mae, {"image": True, "class_token": True}, "space", (1, 4, 4)),
    "videomae": (videomae, {"positions": "index"}, "index", (4, 4, 4)),
    "mvd": (mvd, {}, "axes", (4, 4, 4)),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("wrapped", [True, False])
def test_converted_weights_give_the_released_network_s_output(layout, wrapped, tmp_path):
    make, options, kind, grid = LAYOUTS[layout]
    state, model = make(), build(**options)
    # as released, arguments lie beside the weights
    content = {"model": state, "epoch": 3, "args": argparse.Namespace(lr=0.1)}
    torch.save(content if wrapped else state, tmp_path / "released.pth")
    assert load_public(model, tmp_path / "released.pth") is model
    clips = torch.randn(2, 3, 1 if layout == "mae" else 8, 32, 32)
    expected = reference(state, clips, positions_of(grid, WIDTH, kind, "cpu"))
    torch.testing.assert_close(model.features(clips).flatten(2).mT, expected)


def test_the_head_keeps_its_weights(tmp_path):
    torch.save(mvd() | {"head.weight": torch.ones(5, WIDTH)}, tmp_path / "x.pth")
    model = build()
    before = model.head.fc.weight.clone()
    load_public(model, tmp_path / "x.pth")
    assert torch.equal(model.head.fc.weight, before)


@pytest.mark.parametrize(
    ("state", "options", "words"),
    [
        (mvd, {"blocks": 3}, "blocks.2.norm1.weight is missing; .* and 9 more"),
        (mvd, {"blocks": 1}, "blocks.1.norm1.weight has no place"),
        (mae, {"image": True}, "embedding.class_token has no place"),
        (mvd, {"patch": 4}, r"embedding.linear.weight is \(32, 384\), not \(32, 96\)"),
        (mvd, {"tubelet": 4}, r"embedding.linear.weight is \(32, 384\), not \(32, 768\)"),
        (lambda: mvd() | {"strange": torch.ones(1)}, {}, "strange has no place"),
    ],
)
def test_another_geometry_is_refused_by_key_and_shape(state, options, words, tmp_path):
    torch.save(state(), tmp_path / "x.pth")
    model = build(**options)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(UserError, match=words):
        load_public(model, tmp_path / "x.pth")
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


class Harmful:
    def __reduce__(self):
        return print, ("run",)


@pytest.mark.parametrize("content", [[1, 2], {"model": {"a": 3}}, {}, {"model": Harmful()}])
def test_what_is_no_checkpoint_is_refused(content, tmp_path, capsys):
    torch.save(content, tmp_path / "x.pth")
    with pytest.raises(UserError, match=r"x\.pth: no checkpoint of weights"):
        load_public(build(), tmp_path / "x.pth")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(("layout", "size"), [(mae, "vit_b"), (videomae, "vit_b"), (mvd, "vit_s")])
def test_names_of_the_true_sizes(layout, size):
    """The small layouts name what the true sizes have, block by block."""
    make, options, _, _ = next(row for row in LAYOUTS.values() if row[0] is layout)
    with torch.device("meta"):
        model = models.build("vit", 5, backbone=size, **options)
    first = {name for name in converted(make()) if not name.startswith("blocks.1")}
    theirs = {n for n in model.backbone.state_dict() if not n.startswith("blocks") or ".0." in n}
    assert first == {n for n in theirs if n.startswith(("embedding", "blocks.0."))}
