"""Masked pixels: MAE (He et al. 2022) of images, VideoMAE (Tong et al. 2022) of clips."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from kdlib.errors import UserError
from kdlib.losses.masked import masked_loss, normalised_patches
from kdlib.methods.masked import Masked, transformer
from kdlib.models.vit import patchify


class MaskedPixels(Masked):
    """Mean squared error of the pixels of hidden patches, each patch normalised by itself.

    The student decides: of a vit with `image` it is MAE, which normalises the three colours of a
    patch together, else VideoMAE, which normalises each by itself. Their own decoders are 8 blocks
    of 512 channels for MAE (16 heads, where ours have those of the encoder's size), and 4 of half
    the encoder's width for VideoMAE; their mask ratios 0.75 and 0.9.
    """

    def __init__(
        self, student: nn.Module, teachers: Sequence[nn.Module] = (), **options: Any
    ) -> None:
        if teachers:
            raise UserError(f"method.teachers: mae takes none, got {len(teachers)}; see mvd")
        encoder = transformer("student", student)
        outputs = {"pixels": 3 * encoder.tubelet * encoder.patch**2}
        super().__init__(student, teachers, outputs=outputs, **options)

    def targets(self, clips: Tensor) -> dict[str, Tensor]:
        """Normalised pixels."""
        encoder = self.student.backbone
        patches = patchify(clips, encoder.tubelet, encoder.patch)
        return {"pixels": normalised_patches(patches, by_channel=not encoder.image)}

    def distance(self, predicted: Tensor, target: Tensor) -> Tensor:
        """Squared."""
        return masked_loss(predicted, target, kind="l2")
