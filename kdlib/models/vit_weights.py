"""Public weights of MAE, VideoMAE and MVD as those of `kdlib.models.vit`."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from kdlib.models.base import VideoModel
from kdlib.models.weights import check_weights, read_weights

# Of pre-training alone, or computed: positions are those of `positions_of`.
_LEFT_OUT = (
    "decoder", "down_", "encoder_to_decoder", "fc_norm", "head", "mask_token", "norm", "pos_embed",
)  # fmt: skip
_PARTS = {
    "norm1": "norm1", "norm2": "norm2", "attn.proj": "attention.out", "mlp.fc1": "mlp.0",
    "mlp.fc2": "mlp.2",
}  # fmt: skip


def load_public(model: VideoModel, path: Path) -> VideoModel:
    """Give the backbone of a vit the weights of a public checkpoint; the head is left as it is.

    path: a file of MAE's encoder, or of VideoMAE's or MVD's pre-training or fine-tuning, as their
        authors released them. Nothing in it is run.

    UserError that names keys and shapes, if the checkpoint is of another geometry.
    """
    found = converted(read_weights(path))
    check_weights(
        str(path),
        found,
        model.backbone.state_dict(),
        "of another geometry than the model (size, patch, tubelet or class token)",
    )
    model.backbone.load_state_dict(found)
    return model


def converted(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of a backbone by our names, of those by the names of any of the three projects.

    Names may begin with "encoder." or "backbone.". Decoders, mask tokens, positions, the norm after
    the last block and heads are left out, the bias of keys too, as it changes nothing. Names that
    none of the projects has are kept.
    """
    plain = {
        name.removeprefix("encoder.").removeprefix("backbone."): value
        for name, value in state.items()
    }
    found: dict[str, Tensor] = {}
    for name, value in plain.items():
        if name.startswith(_LEFT_OUT):
            continue
        first, _, rest = name.partition(".")
        number, _, part = rest.partition(".")
        layer, _, kind = part.rpartition(".")
        block = f"blocks.{number}"
        if name == "cls_token":
            found["embedding.class_token"] = value.flatten()
        elif first == "patch_embed":
            # (C, 3, p, p) or (C, 3, t, p, p); in our patches colours come last.
            weight = value.movedim(1, -1).flatten(1) if value.ndim > 1 else value
            found[f"embedding.linear.{name.rpartition('.')[2]}"] = weight
        elif first == "blocks" and layer in _PARTS:
            found[f"{block}.{_PARTS[layer]}.{kind}"] = value
        elif first == "blocks" and layer == "attn.qkv":
            query, key, values = value.chunk(3)
            found[f"{block}.attention.query_value.{kind}"] = torch.cat([query, values])
            if kind == "weight":
                found[f"{block}.attention.key.weight"] = key
        elif first == "blocks" and part == "attn.q_bias" and f"{block}.attn.v_bias" in plain:
            bias = torch.cat([value, plain[f"{block}.attn.v_bias"]])
            found[f"{block}.attention.query_value.bias"] = bias
        elif part != "attn.v_bias":
            found[name] = value
    return found
