import copy

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torchvision.models import resnet18, video
from torchvision.models.video.mvit import MSBlockConfig, MViT
from torchvision.models.video.resnet import (
    BasicBlock,
    BasicStem,
    Conv3DNoTemporal,
    Conv3DSimple,
    VideoResNet,
)
from torchvision.models.video.swin_transformer import SwinTransformer3d

from kdlib.clips.pixels import to_float
from kdlib.errors import UserError
from kdlib.methods import build
from kdlib.models.adapt import adapt

CLIP = (4, 32, 32)


def r3d(classes=3):
    return VideoResNet(BasicBlock, [Conv3DSimple] * 4, [1, 1, 1, 1], BasicStem, classes)


def mc3(classes=3):
    convolutions = [Conv3DSimple, *[Conv3DNoTemporal] * 3]
    return VideoResNet(BasicBlock, convolutions, [1, 1, 1, 1], BasicStem, classes)


def swin(classes=3):
    return SwinTransformer3d([2, 4, 4], 12, [2, 2], [1, 2], [2, 4, 4], num_classes=classes)


def mvit(classes=3):
    settings = [
        MSBlockConfig(1, 8, 16, [], [3, 3, 3], [], [1, 2, 2]),
        MSBlockConfig(2, 16, 16, [3, 3, 3], [3, 3, 3], [1, 2, 2], [1, 1, 1]),
    ]
    return MViT(CLIP[1:], CLIP[0], settings, False, False, False, False, num_classes=classes)


class ByHand(nn.Module):
    """As one is written in an afternoon: a view that needs plain memory, a head inside."""

    def __init__(self, classes=3):
        super().__init__()
        self.body = nn.Sequential(nn.Conv3d(3, 8, 3, padding=1), nn.ReLU(), nn.AvgPool3d(2))
        self.score = nn.Linear(8, classes)

    def forward(self, clips):
        maps = self.body(clips.view(len(clips), *clips.shape[1:]))
        return self.score(maps.contiguous().view(len(maps), 8, -1).mean(2))


class ScoredByPlace(nn.Module):
    """As torchvision's S3D: scores of every place by a convolution behind dropout, then a mean."""

    def __init__(self, classes=3):
        super().__init__()
        self.body = nn.Sequential(nn.Conv3d(3, 8, 3, padding=1), nn.ReLU(), nn.AvgPool3d(2))
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Conv3d(8, classes, 1))

    def forward(self, clips):
        return self.classifier(self.body(clips)).mean((2, 3, 4))


class TokensOfImages(nn.Module):
    """As timm's vision transformers go: class token, norm, dropout, head."""

    def __init__(self, classes=3):
        super().__init__()
        self.patches = nn.Conv2d(3, 16, 8, stride=8)
        self.token = nn.Parameter(torch.randn(1, 1, 16))
        self.blocks = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
        self.norm, self.head_drop = nn.LayerNorm(16), nn.Dropout(0.1)
        self.head = nn.Linear(16, classes)

    def forward(self, images):
        tokens = self.patches(images).flatten(2).mT
        tokens = torch.cat([self.token.expand(len(tokens), -1, -1), tokens], 1)
        return self.head(self.head_drop(self.norm(self.blocks(tokens))[:, 0]))


NETWORKS = {
    "r3d": (r3d, {"features": "layer4", "head": "fc"}, (512, 1, 2, 2)),
    "mc3": (mc3, {"features": "layer4", "head": "fc"}, (512, 4, 2, 2)),
    "swin": (swin, {"features": "norm", "head": "head"}, (24, 2, 4, 4)),
    "mvit": (mvit, {"head": "head"}, (16, 1, 1, 1)),
    "by hand": (ByHand, {"features": "body", "head": "score"}, (8, 2, 16, 16)),
    "by place": (ScoredByPlace, {"head": "classifier"}, (8, 2, 16, 16)),
    "image": (resnet18, {"features": "layer4", "head": "fc", "image": True}, (512, 4, 1, 1)),
    "tokens": (TokensOfImages, {"head": "head", "image": True}, (16, 4, 1, 1)),
}


def made(name, **options):
    torch.manual_seed(0)
    make, parts, shape = NETWORKS[name]
    module = make(num_classes=3) if make is resnet18 else make()
    return module.eval(), adapt(module, clip=CLIP, **parts | options), shape


def frame_by_frame(module, clips):
    return torch.stack([module(clips[:, :, t]) for t in range(clips.shape[2])]).mean(0)


@pytest.mark.parametrize("name", NETWORKS)
def test_both_parts_together_give_what_the_network_gives(name):
    module, model, shape = made(name)
    clips = torch.randn(2, 3, *CLIP)
    expected = frame_by_frame(module, clips) if NETWORKS[name][1].get("image") else module(clips)
    features = model.features(clips)
    assert features.shape == (2, *shape)
    assert model.channels == shape[0]
    torch.testing.assert_close(model(clips), expected, atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(
        model.head.by_place(features).mean((2, 3, 4)), expected, atol=1e-4, rtol=1e-3
    )


@pytest.mark.parametrize("name", NETWORKS)
def test_the_network_itself_stays_as_it_is_and_nothing_is_counted_twice(name):
    module, model, _ = made(name)
    before = copy.deepcopy(module.state_dict())
    method = build("supervised", model, [])
    clips = torch.randn(2, 3, *CLIP)
    torch.optim.SGD(model.parameters(), 0.1).step()
    nn.functional.cross_entropy(method.student(clips), torch.tensor([0, 1])).backward()
    torch.optim.SGD(model.parameters(), 0.1).step()
    assert all(torch.equal(v, before[n]) for n, v in module.state_dict().items())
    assert not any(hooks for m in model.modules() if (hooks := m._forward_hooks))
    head, trunk = ({id(p) for p in part.parameters()} for part in (model.head, model.backbone))
    assert not head & trunk
    total = sum(p.numel() for p in module.parameters())
    assert sum(p.numel() for p in model.parameters()) == total


def test_a_network_sees_clips_by_its_own_normalisation():
    mean, std = (0.43216, 0.394666, 0.37645), (0.22803, 0.22145, 0.216989)
    module, model, _ = made("mc3", normalisation=(mean, std))
    stored = torch.randint(0, 256, (2, *CLIP, 3), dtype=torch.uint8)
    clips = ((stored / 255 - torch.tensor(mean)) / torch.tensor(std)).permute(0, 4, 1, 2, 3)
    torch.testing.assert_close(model(to_float(stored)), module(clips), atol=1e-4, rtol=1e-3)
    assert "affine" not in " ".join(model.state_dict())


def test_inner_maps_have_the_names_of_the_network():
    _, model, _ = made("r3d")
    clips = torch.randn(2, 3, *CLIP)
    found = model.stages(clips, ["layer2", "", "layer2.0.conv1"])
    assert list(found) == ["layer2", "", "layer2.0.conv1"]
    assert found["layer2"].shape == (2, 128, 2, 8, 8)
    assert torch.equal(found[""], model.features(clips))
    with pytest.raises(UserError, match=r"no module 'layer5'.*Did you mean 'layer"):
        model.stages(clips, ["layer5"])
    _, model, _ = made("swin")
    assert model.stages(clips, ["features.0"])["features.0"].shape == (2, 12, 2, 8, 8)
    _, model, _ = made("image")
    assert model.stages(clips, ["layer1"])["layer1"].shape == (2, 64, 4, 8, 8)


def test_dropout_of_a_head_stays_before_it():
    _, model, _ = made("mvit")
    assert model.head.dropout.p == 0.5
    assert not model.training


def test_a_new_head_for_other_classes():
    _, model, _ = made("swin", classes=7)
    assert model.classes == 7
    assert model(torch.randn(2, 3, *CLIP)).shape == (2, 7)


@pytest.mark.parametrize("layout", ["plain", "checkpoint", "data parallel", "safetensors"])
def test_weights_of_a_file_in_the_public_layouts(layout, tmp_path):
    torch.manual_seed(1)
    trained = swin().eval()
    state = trained.state_dict()
    if layout == "checkpoint":
        state = {"epoch": 3, "model": state, "optimizer": {"lr": 0.1}}
    if layout == "data parallel":
        state = {f"module.{name}": value for name, value in state.items()}
    path = tmp_path / ("x.safetensors" if layout == "safetensors" else "x.pth")
    (save_file if layout == "safetensors" else torch.save)(state, path)
    _, model, _ = made("swin", weights=path)
    clips = torch.randn(2, 3, *CLIP)
    torch.testing.assert_close(model(clips), trained(clips), atol=1e-4, rtol=1e-3)


class Harmful:
    def __reduce__(self):
        return print, ("run",)


def write(path, content):
    path.write_bytes(content) if isinstance(content, bytes) else torch.save(content, path)
    return path


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no checkpoint of weights"),
        (b"\x80\x02 what is this", "no checkpoint of weights"),
        ({"model": Harmful()}, "no checkpoint of weights"),
        ([1, 2], "it holds no tensors by name"),
        ({"a": torch.ones(1)}, "not of this network: .* is missing; .* and [0-9]+ more"),
    ],
)
def test_other_files_are_refused_in_one_line(content, message, tmp_path, capsys):
    path = write(tmp_path / "x.pth", content)
    with pytest.raises(UserError, match=message) as error:
        made("swin", weights=path)
    assert "\n" not in str(error.value)
    assert capsys.readouterr().out == ""
    with pytest.raises(UserError, match=r"no checkpoint of weights: .*No such file"):
        made("swin", weights=tmp_path / "none.pth")


class GivesTwo(ByHand):
    def forward(self, clips):
        return super().forward(clips), 0


class HeadOfSomethingElse(ByHand):
    def forward(self, clips):
        return super().forward(clips.relu()) + self.score(self.body(clips).amax((2, 3, 4)))


@pytest.mark.parametrize(
    ("module", "options", "message"),
    [
        (r3d, {"features": "layer3", "head": "fc"}, r"'layer3' gives \(1, 256, .* 512 channels"),
        (r3d, {"features": "layr4", "head": "fc"}, "no module 'layr4'.*Did you mean 'layer4'"),
        (r3d, {"head": "classifier"}, "no module 'classifier'; its parts: stem, layer1"),
        (r3d, {"head": "layer4"}, "the head 'layer4' is a Sequential; name the last linear layer"),
        (mvit, {"features": "norm", "head": "head"}, r"'norm' gives \(1, 33, 16\)"),
        (mvit, {"features": "blocks.1", "head": "head"}, "'blocks.1' gives tuple"),
        (mvit, {"head": "head", "clip": (8, 32, 32)}, "fails on a clip of 8 x 32 x 32: .*name the"),
        (swin, {"head": "head", "normalisation": (0.4, 0.4, 0.4)}, "normalisation is a mean and a"),
        (resnet18, {"head": "fc"}, "fails on a clip of 4 x 32 x 32: .*or image=True"),
        (GivesTwo, {"head": "score"}, "the network gives tuple of a clip, not logits"),
        (HeadOfSomethingElse, {"features": "body", "head": "score"}, "does not give what the"),
    ],
)
def test_a_mistake_is_one_line(module, options, message):
    with pytest.raises(UserError, match=message) as error:
        adapt(module(), **{"clip": CLIP, **options})
    assert "\n" not in str(error.value)


def test_a_network_of_one_size_says_so():
    _, model, _ = made("mvit")
    with pytest.raises(UserError, match="takes clips of 4 x 32 x 32 and fails on 4 x 16 x 16"):
        model(torch.randn(1, 3, 4, 16, 16))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "options"),
    [
        (video.r3d_18, {"features": "layer4", "head": "fc"}),
        (video.mc3_18, {"features": "layer4", "head": "fc"}),
        (video.swin3d_t, {"features": "norm", "head": "head"}),
        (video.mvit_v2_s, {"head": "head", "clip": (16, 224, 224)}),
    ],
)
def test_torchvision_s_own_networks_at_their_size(make, options):
    module = make(num_classes=5).eval()
    model = adapt(module, **{"clip": (8, 64, 64), **options})
    clips = torch.randn(1, 3, *model.clip)
    with torch.inference_mode():
        torch.testing.assert_close(model(clips), module(clips), atol=1e-4, rtol=1e-3)
