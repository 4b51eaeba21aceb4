"""A decoder on an inner map, held against the flow that is known."""

from dataclasses import replace

import pytest
import torch

from kdlib import models, tasks
from kdlib.clips.batches import Batch
from kdlib.errors import UserError
from kdlib.methods import build
from kdlib.methods.flow_probe import reduced
from kdlib.runs.rehearsal import rehearse
from kdlib.runs.spec import DataSpec, MethodSpec, ModelSpec, RunSpec, Start
from kdlib.training.recipe import Recipe

SMALL = {"width": 8, "blocks": 1, "strides": "small", "norm_momentum": 0.1}
CLIPS = DataSpec("generated/motion12", train=64, validation=16, test=32, frames=4, size=24)
RECIPE = Recipe(epochs=4, learning_rate=3e-3, batch_size=16)
PROBE = MethodSpec("flow_probe", options={"width": 16})


def network(sees="pixels"):
    torch.manual_seed(0)
    return tasks.equip(models.build("s3dg", 3, sees=sees, **SMALL), "flow", 3)


@pytest.fixture
def batch():
    torch.manual_seed(5)
    flow = torch.randn(4, 3, 2, 16, 16)
    return Batch(torch.randn(4, 3, 4, 16, 16), None, torch.arange(4), known={"flow": flow})


def test_the_target_by_hand():
    """Of 2 x 2 pixels and two frames a place: displacements of half as many pixels of the map."""
    flow = torch.zeros(1, 3, 2, 4, 4)
    flow[0, 0, :, :2, :2] = torch.tensor([3.0, -4.0])[:, None, None]
    flow[0, 2, 0] = torch.arange(4.0)
    found = reduced(flow, torch.zeros(1, 2, 3, 2, 2), magnitude=True)
    assert found.shape == (1, 2, 3, 2, 2)
    assert found[0, 0, :, 0, 0].tolist() == [0.75, -1.0, 1.25], "of one frame of two"
    assert found[0, 0, :, 1, 1].tolist() == [0, 0, 0]
    # the last is shown twice: columns of 0, 1 and of 2, 3 pixels
    assert found[0, 1, 0].tolist() == [[0.25, 1.25], [0.25, 1.25]]
    assert torch.equal(found[:, :, :2], reduced(flow, found, magnitude=False))


@pytest.mark.parametrize("channels", [2, 3])
@pytest.mark.parametrize("sees", ["pixels", "flow"])
def test_the_loss_by_hand(batch, channels, sees):
    method = build("flow_probe", network(sees), [], channels=channels, width=8)
    method.freeze(("backbone", "head"))
    clips = batch.clips
    if sees == "flow":
        clips = batch.known["flow"][:, [0, 1, 2, 2]].transpose(1, 2).clamp(-20, 20) / 20
    with torch.no_grad():
        maps = method.student.backbone[:5](clips)
    assert maps.shape == (4, 24, 4, 4, 4)
    made = method.decoder(maps)
    target = reduced(batch.known["flow"], made, magnitude=channels == 3)
    expected = (made - target).square().sum(2).add(1e-6).sqrt().mean()
    output = method.step(batch, 0)
    torch.testing.assert_close(output.loss, expected)
    assert torch.equal(output.parts["flow_error"], output.loss.detach())


def test_predicted_is_the_flow_of_each_pair_at_the_size_of_the_clip(batch):
    method = build("flow_probe", network(), [])
    torch.nn.init.zeros_(method.decoder.predict.weight)
    method.decoder.predict.bias.data = torch.tensor([1.0, -2.0, 7.0])
    flow = method.predict(batch)
    assert flow.shape == batch.known["flow"].shape
    # a map of a quarter of the clip's sides
    torch.testing.assert_close(flow[:, :, 0], torch.full_like(flow[:, :, 0], 4.0))
    torch.testing.assert_close(flow[:, :, 1], torch.full_like(flow[:, :, 1], -8.0))


def test_pairs_stay_where_they_are_in_time(batch):
    """What the decoder says of a frame is held against the flow from that frame to the next."""
    method = build("flow_probe", network(), [])
    said = torch.arange(4.0).view(1, 4, 1, 1, 1).expand(4, 4, 3, 4, 4)
    method.decoder.forward = lambda maps: said
    assert method.predict(batch)[0, :, 0, 3, 3].tolist() == [0.0, 4.0, 8.0]


def test_frozen_is_frozen_and_fine_tuning_reaches_the_layers_before_the_stage(batch):
    frozen = build("flow_probe", network(), [])
    frozen.freeze(("backbone", "head"))
    tuned = build("flow_probe", network(), [])
    tuned.freeze(("head",))
    for method, parts in ((frozen, {"decoder"}), (tuned, {"decoder", "student"})):
        method.train()
        before = {name: t.clone() for name, t in method.student.state_dict().items()}
        method.step(batch, 0).loss.backward()
        learnt = {name for name, p in method.named_parameters() if p.grad is not None}
        assert {name.split(".")[0] for name in learnt} == parts
        after = method.student.state_dict()
        same = all(torch.equal(after[name], before[name]) for name in before)
        assert same == (method is frozen), "running statistics of norms"
    assert any("Conv2d_1a" in name for name in learnt)
    assert not any("Mixed_3b" in name for name in learnt)
    assert set(frozen.own_state()) == {f"decoder.{n}" for n in frozen.decoder.state_dict()}


def test_what_cannot_be_probed_is_named(batch):
    with pytest.raises(UserError, match=r"no module 'MaxPool_3b'.*Did you mean 'MaxPool_3a'"):
        build("flow_probe", network(), [], stage="MaxPool_3b")
    with pytest.raises(UserError, match="takes none, got 1"):
        build("flow_probe", network(), [network()])
    with pytest.raises(UserError, match=r"data\.task: flow_probe"):
        build("flow_probe", models.build("s3dg", 3, **SMALL), [])


@pytest.mark.slow
def test_rehearsal_of_true_size():
    data = replace(CLIPS, frames=64, size=224, known=("flow",), task="flow")
    recipe = replace(RECIPE, freeze=("backbone", "head"))
    spec = RunSpec(data, ModelSpec("s3dg"), recipe, MethodSpec("flow_probe"))
    inputs, outputs = (192, 320, 448, 544, 608, 640), (128, 128, 96, 64, 32, 3)
    decoder = sum(9 * i * o for i, o in zip(inputs, outputs, strict=True)) * 32 * 28**2
    network = rehearse(replace(spec, recipe=RECIPE, method=MethodSpec())).evaluation.macs
    head = 27 * (1024 * 32 + 32 * 2) * 8 * 7**2
    assert rehearse(spec).evaluation.macs == pytest.approx(network - head + decoder, rel=1e-6)


@pytest.mark.slow
def test_flow_is_read_from_a_trained_network(trained):
    classifier = RunSpec(CLIPS, ModelSpec("s3dg", SMALL), replace(RECIPE, epochs=1))
    probe = replace(
        classifier,
        data=replace(CLIPS, known=("flow",), task="flow"),
        recipe=replace(RECIPE, freeze=("backbone", "head")),
        method=PROBE,
        start=Start(classifier, "backbone"),
    )
    network, found = trained(classifier, probe)
    frozen, seen = network.student().backbone, found.student().backbone
    assert all(map(torch.equal, frozen.state_dict().values(), seen.state_dict().values()))
    assert found.history.flow_error.iloc[-1] < found.history.flow_error.iloc[0]
    assert set(found.result["last"]) == {"score", "end_point_error"}
