"""What masking saves: a ViT-S on 160 visible tokens against all 1568, and a step of MVD; and what
is saved where the answers of its teachers are kept.

    python -m benchmarks.masked [--seconds 20]

One clip of 16 frames of 224 pixels, one thread, processor seconds of forward and backward; what is
compared is timed in turn, and ratios are medians of pairs. The encoder's ratio is held against that
of its multiply-accumulates. A step has two decoders of two blocks, and targets of ViT-B's widths
that are there already, as of teachers that cost nothing. Against it stand the step of a student
that sees all tokens, with the same decoders, and the step that asks two teachers, ViT-B.
"""

import argparse
import time
from collections.abc import Callable, Mapping
from statistics import median

import pandas as pd
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from kdlib import methods, models
from kdlib.losses.masked import masked_loss
from kdlib.methods.masked import tubes
from kdlib.methods.mvd import MaskedVideoDistillation
from kdlib.models.vit import take

RATIO, SIZE = 0.9, (3, 16, 224, 224)


def build() -> MaskedVideoDistillation:
    """MVD with a ViT-S and two ViT-B teachers."""
    image, video = (models.build("vit", 1, backbone="vit_b", image=i) for i in (True, False))
    student = models.build("vit", 1, backbone="vit_s")
    return methods.build("mvd", student, [image, video], mask_ratio=RATIO)


def spent(work: Callable[[], Tensor]) -> float:
    """Processor seconds of a forward and a backward pass."""
    started = time.process_time()
    work().backward()
    return time.process_time() - started


def ratios(one: Callable[[], Tensor], other: Callable[[], Tensor], seconds: float) -> list[float]:
    """Median seconds of both, and the median of their ratios, of as many pairs as there is time
    for, three at least, after one pair that is not counted."""
    pairs, end = [], time.perf_counter() + seconds
    while len(pairs) < 4 or time.perf_counter() < end:
        pairs.append((spent(one), spent(other)))
    first, second = zip(*pairs[1:], strict=True)
    return [median(first), median(second), median(b / a for a, b in pairs[1:])]


def operations(work: Callable[[], Tensor]) -> float:
    """Multiply-accumulates of a forward pass, in billions."""
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        work()
    return counter.get_total_flops() / 2e9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=20.0, help="of each of three comparisons")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    method = build()
    encoder, clip = method.student.backbone, torch.randn(1, *SIZE)
    clip = clip.contiguous(memory_format=torch.channels_last_3d)  # as clips come
    visible, masked = tubes(1, encoder.grid(clip), RATIO, clip.device)
    kept = {name: torch.randn(1, 1568, 768) for name in method.decoders}

    def encoded(places: Tensor | None) -> Tensor:
        return encoder.tokens(clip, places).square().mean()

    def step(tokens: Tensor, targets: Mapping[str, Tensor]) -> Tensor:
        """The loss of decoders on the visible ones of these tokens."""
        places, tokens = encoder.places(clip, encoder.width), method.norm(tokens)
        made = {n: d(tokens, places, visible, masked) for n, d in method.decoders.items()}
        losses = [masked_loss(made[n], take(targets[n], masked), kind="smooth_l1") for n in made]
        return torch.stack(losses).sum()

    def seen() -> Tensor:
        return encoder.tokens(clip, visible)

    compared = {
        ("encoder on 160 tokens", "on all 1568"): (lambda: encoded(visible), lambda: encoded(None)),
        ("step, targets kept", "of a student of all tokens"): (
            lambda: step(seen(), kept),
            lambda: step(take(encoder.tokens(clip), visible), kept),
        ),
        ("step, targets kept", "that asks both teachers"): (
            lambda: step(seen(), kept),
            lambda: step(seen(), method.targets(clip)),
        ),
    }
    rows = []
    for (name, against), (less, more) in compared.items():
        short, long, ratio = ratios(less, more, options.seconds)
        of_work = operations(more) / operations(less)
        rows.append(
            {
                "of one clip": name,
                "s": round(short, 3),
                "against": against,
                "s there": round(long, 3),
                "times": round(ratio, 2),
                "times the operations": round(of_work, 2),
                "share": round(1 / ratio, 3),
            }
        )
    print(pd.DataFrame(rows).to_markdown(index=False))


if __name__ == "__main__":
    main()
