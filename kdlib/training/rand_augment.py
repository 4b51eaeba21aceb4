"""RandAugment (Cubuk et al. 2020), all frames of a clip alike."""

from dataclasses import replace

import torch

from kdlib.clips.batches import Batch
from kdlib.clips.pixels import to_float, to_unit
from kdlib.errors import UserError
from kdlib.training.recipe import Recipe

TENTHS = 11  # magnitudes of an operation, from 0 to its largest


def rand_augmented(batch: Batch, recipe: Recipe) -> Batch:
    """The batch with two operations on each clip, drawn from torchvision's fourteen.

    All chance comes from torch's global generator. A recipe without it gives the batch as it is.
    UserError for `others` and `known`, which would have to be turned and moved with the clip, and
    for what is no clip of three colours.

    Source: MVD, appendix, Table 16. Its released code has timm's, whose magnitudes vary.
    """
    if not recipe.rand_augment:
        return batch
    if batch.others or batch.known or batch.clips.shape[1] != 3:
        raise UserError("recipe.rand_augment: 0 here, as it changes clips of pixels alone")
    from torchvision.transforms import v2  # a second to import, and few recipes need it

    augment = v2.RandAugment(2, recipe.rand_augment, TENTHS)
    pixels = to_unit(batch.clips).mul(255).round().clamp(0, 255).to(torch.uint8)
    clips = torch.stack([augment(clip) for clip in pixels.transpose(1, 2)])
    return replace(batch, clips=to_float(clips.movedim(2, -1)), fixed=False)
