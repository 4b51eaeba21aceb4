"""What the supplement says, held against its own numbers and against the networks built here."""

from functools import cache

import pandas as pd
import torch

from book.flow.tables import counted
from kdlib import models
from kdlib.models.flow_decoder import FlowDecoder
from kdlib.study.audits import Row, sentence
from kdlib.study.chapter import Records

LAYER = "MaxPool_3a"
_CLIP = (3, 64, 224, 224)


def table(records: Records) -> pd.DataFrame:
    """A row a sentence. Columns: what is said, what follows, and whether it agrees."""
    said = counted()
    total, _ = said["in all"]
    degraded, share = said["degraded"]
    both = round(share / 100 * total)
    left = total - said["improved"][0]
    sizes, decoder = shapes(), FlowDecoder(shapes()[LAYER][0], 3)
    inputs = [layer.in_channels for layer in (*decoder.convs, decoder.predict)]
    at_28 = [name for name, (_, _, height, _) in sizes.items() if height == 28]
    return pd.DataFrame(
        [
            *(_row_of_counts(name) for name in ("improved", "degraded")),
            sentence(
                "Figure 3: one of the two numbers of degraded classes is right",
                f"{degraded} would be {100 * degraded / total:.2f} %, {share} % would be {both} "
                f"classes; unchanged are {left - degraded} or {left - both}",
                [],
            ),
            sentence(
                "Figure 3: less than ±0.1 % apart are the remaining classes",
                "of n test videos a class the smallest step is 100 / n %: 2 % of 50 videos, so "
                "that within ±0.1 % means equal",
                [],
            ),
            sentence(
                "Figure 1: at layer 3A the decoder's output is 28 × 28",
                f"so are, of 224 pixels, {', '.join(at_28)}; {LAYER} has {sizes[LAYER][0]} "
                "channels",
                [LAYER in at_28],
            ),
            sentence(
                "Figure 4: the decoder is PWC-Net's, of three channels",
                f"its convolutions see {', '.join(map(str, inputs))} channels; which three come "
                "out is not said",
                [decoder.predict.out_channels == 3],
            ),
            sentence(
                "Section 4: maps of the layers 5X are 7 × 7 × 8",
                "so they are of 64 frames of 224 pixels: "
                + ", ".join(
                    f"{name} {h} × {w} × {t}"
                    for name, (_, t, h, w) in sizes.items()
                    if name.startswith("Mixed_5")
                ),
                (
                    size[1:] == (8, 7, 7)
                    for name, size in sizes.items()
                    if name.startswith("Mixed_5")
                ),
            ),
        ]
    ).rename(columns={"what is printed": "what follows"})


def share_is_right(name: str) -> bool:
    """Whether a printed share is that of the printed count, to the last digit printed."""
    total, _ = counted()["in all"]
    count, share = counted()[name]
    return abs(100 * count / total - share) < 0.051


def _row_of_counts(name: str) -> Row:
    total, _ = counted()["in all"]
    count, share = counted()[name]
    return sentence(
        f"Figure 3: {count} of {total} classes {name} are {share} %",
        f"{count} / {total} is {100 * count / total:.2f} %",
        [share_is_right(name)],
    )


@cache
def shapes() -> dict[str, tuple[int, ...]]:
    """The maps (C, T, h, w) of the published S3D-G's modules, by name, of 64 x 224 x 224."""
    with torch.device("meta"):
        network = models.build("s3dg", 400).eval()
        maps = network.stages(torch.empty(1, *_CLIP), list(dict(network.backbone.named_children())))
    return {name: tuple(found.shape[1:]) for name, found in maps.items()}
