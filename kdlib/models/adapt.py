"""Networks from elsewhere as models of this house: torchvision's, timm's, hand-written ones."""

import copy
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from kdlib.errors import UserError
from kdlib.models.base import VideoModel, fold_frames
from kdlib.models.stages import find_module, stage_maps
from kdlib.models.weights import check_weights, read_weights

Clip = tuple[int, int, int]
Triple = tuple[float, float, float]

# Of the clips of this house, as `kdlib.clips.pixels` makes them: ImageNet's.
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Trunk(nn.Module):
    """A network without its head: clips (B, 3, T, H, W) to the map that the head reads.

    module: its head is an Identity. features: the module whose output is the map. channels: of it.
    image: whether the network takes images; it then sees every frame alone. clip: frames, height
    and width that it is known to take. normalisation: as `adapt` has it. channels_last: where the
    map has its channels.
    """

    channels_last = False
    affine: Tensor | None

    def __init__(
        self,
        module: nn.Module,
        features: str,
        channels: int,
        image: bool,
        clip: Clip,
        normalisation: tuple[Triple, Triple] | None = None,
    ) -> None:
        super().__init__()
        affine = None if normalisation is None else _affine(normalisation)
        self.register_buffer("affine", affine, persistent=False)
        self.module, self.features = module, features
        self.channels, self.image, self.clip = channels, image, clip

    def forward(self, clips: Tensor) -> Tensor:
        """The map (B, C, T', h, w); of what is pooled already (B, C, 1, 1, 1), T' = T of images."""
        made: list[object] = []
        part = self.module.get_submodule(self.features)
        hook = part.register_forward_hook(lambda module, inputs, output: made.append(output))
        try:
            self.module(self.shown(clips))
        except RuntimeError as error:
            if tuple(clips.shape[2:]) == self.clip:
                raise
            raise UserError(
                f"adapt: the network takes clips of {_by(self.clip)} and fails on "
                f"{_by(clips.shape[2:])}: {_first_line(error)}"
            ) from None
        finally:
            hook.remove()
        if not made:
            raise UserError(f"adapt: the module {self.features!r} never runs")
        return self._as_map(made[-1], len(clips), clips.shape[2])

    def shown(self, clips: Tensor) -> Tensor:
        """What the network is given of clips: images or clips, by its own normalisation."""
        if self.affine is not None:
            clips = clips * self.affine[0] + self.affine[1]
        # A hand-written network may take views that only plain memory has.
        return (fold_frames(clips) if self.image else clips).contiguous()

    def _as_map(self, output: object, clips: int, frames: int) -> Tensor:
        rows, axes = (clips * frames, (2, 4)) if self.image else (clips, (2, 5))
        if isinstance(output, Tensor) and output.ndim in axes and len(output) == rows:
            maps = output.movedim(-1, 1) if self.channels_last else output
            if maps.shape[1] == self.channels:
                maps = maps[(..., *(None,) * (axes[1] - maps.ndim))]
                return maps.unflatten(0, (clips, frames)).transpose(1, 2) if self.image else maps
        shape = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
        raise UserError(
            f"adapt: {self.features!r} gives {shape} for {clips} clips, and the head reads "
            f"{self.channels} channels; name a module whose map has them, or leave features out"
        )


class AdaptedModel(VideoModel):
    """A network from elsewhere as `adapt` makes it; its stages have the names they have there.

    clip: frames, height and width that it is known to take.
    """

    backbone: Trunk

    @property
    def clip(self) -> Clip:
        """As above."""
        return self.backbone.clip

    def stages(self, clips: Tensor, names: Sequence[str]) -> dict[str, Tensor]:
        """As `VideoModel.stages`; "" is the map that the head reads."""
        found: dict[str, Tensor] = {}

        def run(clips: Tensor) -> None:
            found[""] = self.features(clips)

        found |= stage_maps(self.backbone.module, run, clips, [name for name in names if name])
        if "" in names and "" not in found:
            run(clips)
        return {name: found[name] for name in names}


def adapt(
    module: nn.Module,
    *,
    head: str,
    features: str | None = None,
    classes: int | None = None,
    weights: Path | str | None = None,
    image: bool = False,
    clip: Clip = (16, 112, 112),
    normalisation: tuple[Triple, Triple] | None = None,
) -> AdaptedModel:
    """A network from elsewhere as student or teacher of every method: a copy, in two parts.

        adapt(torchvision.models.video.r3d_18(), features="layer4", head="fc")
        adapt(torchvision.models.video.swin3d_t(), features="norm", head="head")
        adapt(torchvision.models.video.mvit_v2_s(), head="head", clip=(16, 224, 224))
        adapt(timm.create_model("resnet18"), features="layer4", head="fc", image=True)

    module: takes clips (B, 3, T, H, W) and gives logits (B, K). It stays as it is.
    head: its last linear layer, or a Sequential that ends in it behind dropout, by name. A 1 x 1 x
        1 convolution counts as one.
    features: the module whose map the head reads the mean of, by name, channels first or last. None
        takes what the head itself is given, a map of one place: for class tokens and the like.
    classes: K for a new head; None keeps the network's own.
    weights: a file of weights for `module`, such as torchvision publishes (`read_weights`), with
        the head that it has there.
    image: the network takes images (B, 3, H, W); the logits of all frames are averaged.
    clip: frames, height and width of a clip that it takes. A clip of this size is tried: UserError
        if the two parts do not give together what the network gives, and what else is wrong.
    normalisation: mean and standard deviation of each colour, from 0 to 1, by which its clips were
        normalised, where they are not ImageNet's. Of torchvision's video ResNets they are
        ((0.43216, 0.394666, 0.37645), (0.22803, 0.22145, 0.216989)).
    """
    made = copy.deepcopy(module)
    if weights is not None:
        found, path = read_weights(Path(weights)), str(weights)
        check_weights(path, found, made.state_dict(), "not of this network")
        made.load_state_dict(found)
    linear, dropout = _classifier(head, find_module("adapt: the network", made, head))
    if features is not None:
        find_module("adapt: the network", made, features)
    channels, has = linear.in_features, linear.out_features
    name = head if features is None else features
    trunk = Trunk(made, name, channels, image, clip, normalisation)
    expected = _tried(trunk)
    made.set_submodule(head, nn.Identity())
    model = AdaptedModel(trunk, channels, has, dropout)
    model.head.fc = linear
    _choose_layout(model, expected)
    model.train(module.training)
    if classes is not None:
        model.classes, model.head.fc = (
            classes,
            nn.Linear(channels, classes, device=linear.weight.device),
        )
    return model


def _affine(normalisation: tuple[Triple, Triple]) -> Tensor:
    """What values normalised here are multiplied by, and what is added, for another normalisation:
    (2, 3, 1, 1, 1)."""
    try:
        mean, std = torch.tensor(normalisation).reshape(2, 3)
    except (RuntimeError, TypeError, ValueError):
        mean = std = torch.zeros(3)
    if not std.min() > 0:
        raise UserError(
            "adapt: normalisation is a mean and a deviation, above 0, of three colours each, not "
            f"{normalisation}"
        )
    our_mean, our_std = torch.tensor((_MEAN, _STD))
    return torch.stack([our_std / std, (our_mean - mean) / std])[..., None, None, None]


def _classifier(name: str, head: nn.Module) -> tuple[nn.Linear, float]:
    """The linear layer of a head, and the dropout before it."""
    *before, last = head if isinstance(head, nn.Sequential) and len(head) else [head]
    drops = [one for one in before if isinstance(one, nn.Dropout)]
    others = [one for one in before if not isinstance(one, nn.Dropout | nn.Identity)]
    if isinstance(last, nn.Conv3d) and last.kernel_size == (1, 1, 1) and last.groups == 1:
        weight, bias = last.weight.flatten(1), last.bias
        last = nn.Linear(last.in_channels, last.out_channels, bias is not None)
        last.weight = nn.Parameter(weight.detach())
        if isinstance(bias, nn.Parameter):
            last.bias = bias
    if not isinstance(last, nn.Linear) or others or len(drops) > 1:
        raise UserError(
            f"adapt: the head {name!r} is a {type(head).__name__}; name the last linear layer, or "
            "a Sequential of dropout and that"
        )
    return last, drops[0].p if drops else 0.0


@torch.no_grad()
def _tried(trunk: Trunk) -> Tensor:
    """The logits of a clip, of a network that has its head still, in eval mode."""
    trunk.to(next((p.device for p in trunk.parameters()), torch.device("cpu")))
    shown = trunk.shown(_probe(trunk, trunk.clip))
    try:
        logits = trunk.module.eval()(shown)
    except Exception as error:
        other = "" if trunk.image else ", or image=True"
        raise UserError(
            f"adapt: it fails on a clip of {_by(trunk.clip)}: {_first_line(error)}; name the "
            f"clip it takes, as clip=(16, 224, 224){other}"
        ) from None
    if not isinstance(logits, Tensor) or logits.ndim != 2:
        shape = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise UserError(f"adapt: the network gives {shape} of a clip, not logits (B, K)")
    return logits.mean(0, keepdim=True)


@torch.no_grad()
def _choose_layout(model: AdaptedModel, expected: Tensor) -> None:
    """Channels first or last, whichever gives the logits that the network gives."""
    faults = []
    for last in (False, True):
        model.backbone.channels_last = last
        try:
            logits = model.eval()(_probe(model, model.clip))
        except UserError as error:
            faults.append(error)
            continue
        if logits.shape == expected.shape and torch.allclose(logits, expected, 1e-3, 1e-4):
            model.backbone.module.channels_last = last  # type: ignore[assignment]  # of inner maps
            return
    if len(faults) == 2:
        raise faults[0]
    raise UserError(
        f"adapt: the head on the mean of {model.backbone.features!r} does not give what the "
        "network gives; name the last map that the head reads, or leave features out"
    )


def _probe(module: nn.Module, clip: Clip) -> Tensor:
    """One drawn clip, the same at every call, where the network is."""
    device = next((p.device for p in module.parameters()), torch.device("cpu"))
    return torch.randn(1, 3, *clip, generator=torch.Generator().manual_seed(0)).to(device)


def _by(sizes: Sequence[int]) -> str:
    return " x ".join(map(str, sizes))


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
