"""Masked pixels: MAE (He et al. 2022) of images, VideoMAE (Tong et al. 2022) of clips."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from kdlib.errors import UserError
from kdlib.losses.masked import masked_loss, normalised_patches
from kdlib.methods.masked import Masked, transformer
from kdlib.models.vit import patchify


class MaskedPixels(Masked):
    """Mean squared error of the pixels of hidden patches.

    normalised: each patch by itself, less its mean and over its standard deviation. Both papers
        have it either way; where clips are noisy, smooth patches are then noise for the most part.

    The student decides: of a vit with `image` it is MAE, which normalises the three colours of a
    patch together, else VideoMAE, which normalises each by itself. Their own decoders are 8 blocks
    of 512 channels for MAE (16 heads, where ours have heads as wide as the encoder's), and 4 of
    half the encoder's width for VideoMAE; their mask ratios 0.75 and 0.9.
    """

    normalised: bool = True

    def __init__(
        self, student: nn.Module, teachers: Sequence[nn.Module] = (), **options: Any
    ) -> None:
        if teachers:
            raise UserError(f"method.teachers: mae takes none, got {len(teachers)}; see mvd")
        encoder = transformer("student", student)
        outputs = {"pixels": 3 * encoder.tubelet * encoder.patch**2}
        super().__init__(student, teachers, outputs=outputs, **options)

    def targets(self, clips: Tensor) -> dict[str, Tensor]:
        """Pixels, as the clips have them or normalised by patch."""
        encoder = self.student.backbone
        pixels = patchify(clips, encoder.tubelet, encoder.patch)
        if self.normalised:
            pixels = normalised_patches(pixels, by_channel=not encoder.image)
        return {"pixels": pixels}

    def distance(self, predicted: Tensor, target: Tensor) -> Tensor:
        """Squared."""
        return masked_loss(predicted, target, kind="l2")
