"""MVD (Wang et al. 2023): features of an image teacher and of a video teacher, where hidden."""

from collections.abc import Iterable, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from kdlib.clips.batches import Batch
from kdlib.clips.pixels import resize
from kdlib.errors import UserError
from kdlib.losses.masked import masked_loss
from kdlib.methods.base import Epoch, Weight
from kdlib.methods.masked import Masked, transformer


class MaskedVideoDistillation(Masked):
    """image_weight * smooth L1 to an image teacher + video_weight * smooth L1 to a video teacher.

    Teachers are one or two vit, told apart by their option `image`, and see the whole clip. What
    they teach is their last block's output, which no norm follows. The image teacher sees the
    first frame of each of the student's tubelets. Of an image student (masked image modelling) the
    only teacher can be an image network.

    places: where the student is taught. "masked" is MVD: what is hidden, by a decoder for each
        teacher. The others distill token by token (appendix, Table 11), by a linear layer for each
        teacher on the student's own token: "visible" hides as much and teaches what is left, "all"
        hides nothing. The appendix says neither their loss nor their layer: these are ours.

    A teacher whose patches are of another size sees the clip resized, so that it has the student's
    h x w places (ViT-H / 14 at 196 pixels, as in the paper). A video teacher with longer tubelets
    teaches each of its tokens to all tokens of the student that share its frames; how the paper did
    that (Table 13) is unknown.

    keep_targets: the teachers see each training clip once, before the first epoch, and what they
        teach is kept: so many numbers as clips x tokens x widths. Refused where a clip is not the
        same at every epoch.
    """

    places: Literal["masked", "visible", "all"] = "masked"
    image_weight: Weight = 1.0
    video_weight: Weight = 1.0
    keep_targets: bool = False

    def __init__(self, student: nn.Module, teachers: Sequence[nn.Module], **options: Any) -> None:
        encoders = [transformer("teacher", teacher) for teacher in teachers]
        outputs = {_kind(encoder): encoder.width for encoder in encoders}
        if not 0 < len(outputs) == len(teachers) <= 2:
            kinds = ", ".join(map(_kind, encoders)) or "none"
            raise UserError(
                f"method.teachers: an image teacher, a video teacher, or one of each; got {kinds}"
            )
        if transformer("student", student).image and "video" in outputs:
            raise UserError("method.teachers: an image teacher alone, as the student is of images")
        super().__init__(student, teachers, outputs=outputs, **options)
        self._kept: dict[str, Tensor] = {}  # (videos, sequences a video, N, D)
        if self.places != "masked":
            width = self.student.backbone.width
            self.decoders = nn.ModuleDict({n: nn.Linear(width, d) for n, d in outputs.items()})

    def targets(self, clips: Tensor) -> dict[str, Tensor]:
        """The teachers' features at the student's places."""
        return {_kind(t.backbone): self._taught(t, clips) for t in self.teachers}

    def before_epoch(self, epoch: Epoch) -> None:
        """Ask the teachers, if they are asked once."""
        if self.keep_targets and not self._kept:
            self._kept = _joined(self._by_video(batch) for batch in epoch.batches())

    def _by_video(self, batch: Batch) -> dict[str, Tensor]:
        found = self.targets(self.sequences(batch.clips))
        return {name: one.unflatten(0, (len(batch.indices), -1)) for name, one in found.items()}

    def targets_of(self, batch: Batch, clips: Tensor) -> dict[str, Tensor]:
        """What was kept, or what the teachers say now; validation clips have none that was kept."""
        if not (self.keep_targets and self.training):
            return self.targets(clips)
        if not batch.fixed:
            raise UserError(
                "method.keep_targets: false, as clips are not the same at every epoch; or take "
                'data.crop "none", whole videos, no mirror and no mixing'
            )
        if not self._kept:
            return self.targets(clips)
        return {name: one[batch.indices].flatten(0, 1) for name, one in self._kept.items()}

    def distance(self, predicted: Tensor, target: Tensor) -> Tensor:
        """Smooth L1."""
        return masked_loss(predicted, target, kind="smooth_l1")

    def weight_of(self, name: str) -> float:
        """Of a teacher, by its kind."""
        return self.image_weight if name == "image" else self.video_weight

    def predicted(self, clips: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """What the decoders predict, or what linear layers make of the tokens themselves."""
        if self.places == "masked":
            return super().predicted(clips)
        encoder = self.student.backbone
        if self.places == "visible":
            visible, _ = self.draw(clips)
        else:
            times, rows, columns = encoder.grid(clips)
            visible = torch.arange(times * rows * columns, device=clips.device)
            visible = visible.expand(len(clips), -1)
        tokens = self.norm(encoder.tokens(clips, visible))
        return {name: layer(tokens) for name, layer in self.decoders.items()}, visible

    @torch.no_grad()
    def _taught(self, teacher: Any, clips: Tensor) -> Tensor:
        """The features (B, N, D) of one teacher."""
        student, taught = self.student.backbone, teacher.backbone
        grid = student.grid(clips)
        if taught.image:
            clips = clips[:, :, :: student.tubelet]
        if taught.patch != student.patch:
            clips = resize(clips, (grid[1] * taught.patch, grid[2] * taught.patch))
        maps = teacher.features(clips)
        if grid[0] % maps.shape[2]:
            raise UserError(
                f"method.teachers: the {_kind(taught)} teacher has tokens at {maps.shape[2]} times "
                f"and the student at {grid[0]}; give both tubelets of as many frames"
            )
        return maps.repeat_interleave(grid[0] // maps.shape[2], 2).flatten(2).mT


def _joined(parts: Iterable[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Tensors by name, those of all parts one after another."""
    found = list(parts)
    return {name: torch.cat([part[name] for part in found]) for name in found[0]}


def _kind(encoder: Any) -> str:
    return "image" if encoder.image else "video"
