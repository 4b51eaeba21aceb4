"""What all masked pre-trainings have in common: most of a clip is hidden, and to be predicted."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from kdlib.clips.batches import Batch
from kdlib.errors import UserError
from kdlib.methods.base import Method, StepOutput
from kdlib.models.base import VideoModel, fold_frames
from kdlib.models.masked_decoder import MaskedDecoder
from kdlib.models.vit import EPS, Grid, VisionTransformer, take


class Masked(Method):
    """A vit sees a few tokens of each clip; decoders predict something of the rest.

    Subclasses implement `targets` and `distance`, and say what they predict: outputs, by name, how
    many numbers at a place.

    mask_ratio: the share of the places of a frame that is hidden, the same places at all times
        (VideoMAE's tubes): 0.9 of videos, 0.75 of images. A step costs what it says: no default.
    decoder_width, decoder_blocks: of each decoder, by default MVD's: the encoder's width and two
        blocks. Its heads are as wide as the encoder's.

    The norm after the last block is the method's, not the student's: who takes over the student
    has its last block's output, which fine-tuning pools and MVD's teachers teach. Of an image
    network every frame is an image with a mask of its own. A class token stays in the encoder.
    """

    mask_ratio: Annotated[float, Field(gt=0, lt=1)]
    decoder_width: Annotated[int, Field(gt=0, multiple_of=16)] | None = None
    decoder_blocks: PositiveInt = 2

    def __init__(
        self,
        student: nn.Module,
        teachers: Sequence[nn.Module],
        *,
        outputs: Mapping[str, int],
        **options: Any,
    ) -> None:
        encoder = transformer("student", student)
        super().__init__(student, teachers, **options)
        self.norm = nn.LayerNorm(encoder.width, EPS)
        self.decoders = nn.ModuleDict(
            {name: self._decoder(encoder, numbers) for name, numbers in outputs.items()}
        )

    def targets(self, clips: Tensor) -> dict[str, Tensor]:
        """What there is to predict at all places of clips, (B, N, D) each, by name."""
        raise NotImplementedError

    def targets_of(self, batch: Batch, clips: Tensor) -> dict[str, Tensor]:
        """The targets of a batch; clips are its `sequences`."""
        return self.targets(clips)

    def distance(self, predicted: Tensor, target: Tensor) -> Tensor:
        """The loss of predictions (B, M, D), a scalar."""
        raise NotImplementedError

    def weight_of(self, name: str) -> float:
        """How much a prediction counts."""
        return 1.0

    def predict(self, batch: Batch) -> None:
        """Nothing: the head has learnt nothing."""
        return None

    def step(self, batch: Batch, epoch: int) -> StepOutput:
        """The weighted sum of the losses of one drawn mask a clip."""
        clips = self.sequences(batch.clips)
        made, places = self.predicted(clips)
        targets = self.targets_of(batch, clips)
        losses = {n: self.distance(made[n], take(targets[n], places)) for n in made}
        loss = torch.stack([self.weight_of(name) * losses[name] for name in losses]).sum()
        return StepOutput(loss, {name: one.detach() for name, one in losses.items()})

    def predicted(self, clips: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """Predictions (B, M, D) by name, and the places (B, M) that they are of."""
        visible, masked = self.draw(clips)
        return self.decoded(clips, visible, masked), masked

    def decoded(self, clips: Tensor, visible: Tensor, masked: Tensor) -> dict[str, Tensor]:
        """What the decoders say of the masked places when the encoder sees the visible ones."""
        encoder = self.student.backbone
        tokens = self.norm(encoder.tokens(clips, visible))
        places = encoder.places(clips, self._width(encoder))
        return {n: one(tokens, places, visible, masked) for n, one in self.decoders.items()}

    def draw(self, clips: Tensor) -> tuple[Tensor, Tensor]:
        """Visible and masked places of each clip, see `tubes`."""
        return tubes(len(clips), self.student.backbone.grid(clips), self.mask_ratio, clips.device)

    def sequences(self, clips: Tensor) -> Tensor:
        """Clips as the encoder takes them: of an image network each frame is a clip."""
        return fold_frames(clips)[:, :, None] if self.student.backbone.image else clips

    @torch.no_grad()
    def controls(self, batch: Batch) -> dict[str, dict[str, Tensor]]:
        """What a prediction must beat: losses of one drawn mask a clip, by name of the prediction.

        prediction: the method's own, in its present mode. mean: of the mean of what is hidden, over
        all clips and places, the best that one answer can do under a squared distance. neighbour:
        of what is at the visible place nearest to each.
        """
        clips = self.sequences(batch.clips)
        visible, masked = self.draw(clips)
        made = self.decoded(clips, visible, masked)
        nearest = nearest_visible(self.student.backbone.grid(clips), visible, masked)
        found = {}
        for name, target in self.targets(clips).items():
            hidden = take(target, masked)
            answers = {
                "prediction": made[name],
                "mean": hidden.mean((0, 1)).expand_as(hidden),
                "neighbour": take(target, nearest),
            }
            found[name] = {kind: self.distance(said, hidden) for kind, said in answers.items()}
        return found

    def _width(self, encoder: VisionTransformer) -> int:
        return self.decoder_width or encoder.width

    def _decoder(self, encoder: VisionTransformer, outputs: int) -> MaskedDecoder:
        width, head = self._width(encoder), encoder.width // encoder.heads
        if width % head:
            raise UserError(
                f"method.decoder_width: a multiple of {head}, the width of the student's heads"
            )
        return MaskedDecoder(
            encoder.width,
            outputs,
            width=width,
            blocks=self.decoder_blocks,
            heads=width // head,
            drop_path=encoder.drop_path,
        )


def transformer(role: str, network: nn.Module) -> VisionTransformer:
    """The backbone of a network; UserError, by its role, if it is no vit."""
    backbone = network.backbone if isinstance(network, VideoModel) else None
    if not isinstance(backbone, VisionTransformer):
        raise UserError(f"method: masks are for tokens; the {role} must be a model named vit")
    return backbone


def tubes(clips: int, grid: Grid, ratio: float, device: torch.device) -> tuple[Tensor, Tensor]:
    """Visible and masked places int64 (clips, V) and (clips, M) of a grid, ascending.

    grid: (T', h, w). Of the h w places of a time int(ratio h w) are masked, the same at all times,
    drawn for each clip from torch's global generator of the device. UserError if that hides all or
    nothing.

    Source: VideoMAE, released code `masking_generator.py`.
    """
    times, plane = grid[0], grid[1] * grid[2]
    hidden = int(ratio * plane)
    if not 0 < hidden < plane:
        raise UserError(
            f"method.mask_ratio: {ratio} of {grid[1]} x {grid[2]} places hides "
            f"{'all' if hidden else 'nothing'}; another ratio, or smaller patches"
        )
    order = torch.rand(clips, plane, device=device).argsort(1)
    starts = plane * torch.arange(times, device=device)[:, None]
    masked, visible = (
        (starts + part.sort(1).values[:, None]).flatten(1)
        for part in order.split([hidden, plane - hidden], 1)
    )
    return visible, masked


def nearest_visible(grid: Grid, visible: Tensor, masked: Tensor) -> Tensor:
    """The visible place nearest to each masked one of a grid: int64 (B, M), of the same time."""

    def points(places: Tensor) -> Tensor:
        column, row = places % grid[2], places // grid[2] % grid[1]
        return torch.stack([places // (grid[1] * grid[2]), row, column], -1).float()

    nearest = torch.cdist(points(masked), points(visible)).argmin(2)
    return visible.gather(1, nearest)
