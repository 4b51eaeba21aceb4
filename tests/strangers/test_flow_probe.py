"""A method as a stranger would write it: flow read from a frozen stage of a trained network."""

from dataclasses import replace

import pytest
import torch

from kdlib.methods.base import Method, StepOutput
from kdlib.runs.spec import DataSpec, MethodSpec, ModelSpec, RunSpec, Start
from kdlib.study import tables
from kdlib.tasks.flow import FlowHead, enlarged
from kdlib.training.recipe import Recipe


class FlowProbe(Method):
    """A decoder on an inner map of the student, which itself stays as it is."""

    stage: str
    channels: int

    def __init__(self, student, teachers=(), **options):
        super().__init__(student, teachers, **options)
        self.decoder = FlowHead(self.channels)

    def predict(self, batch):
        maps = self.student.stages(batch.clips, [self.stage])
        return enlarged(self.decoder(maps[self.stage]), batch.known["flow"])

    def step(self, batch, epoch):
        flow = self.predict(batch)
        loss = self.task.loss(flow, batch).mean()
        return StepOutput(loss, {"end_point_error": loss.detach()}, flow)


CLIPS = DataSpec("generated/motion12", train=32, validation=8, test=16, frames=4, size=24)
RECIPE = Recipe(epochs=3, learning_rate=1e-2, batch_size=8)


@pytest.fixture
def classifier():
    return RunSpec(CLIPS, ModelSpec("c3d", {"width": 4}), replace(RECIPE, epochs=1))


@pytest.fixture
def probe(classifier):
    method = MethodSpec(
        "tests.strangers.test_flow_probe:FlowProbe", options={"stage": "0", "channels": 4}
    )
    return replace(
        classifier,
        data=replace(CLIPS, known=("flow",), task="flow"),
        recipe=replace(RECIPE, freeze=("backbone", "head")),
        method=method,
        start=Start(classifier, "backbone"),
    )


@pytest.mark.slow
def test_flow_is_read_from_a_frozen_stage(classifier, probe, trained):
    network, found = trained(classifier, probe)
    assert set(found.result["last"]) == {"score", "end_point_error"}
    frozen, seen = network.student().backbone, found.student().backbone
    assert all(map(torch.equal, frozen.state_dict().values(), seen.state_dict().values()))
    history = found.history.end_point_error
    assert history.iloc[-1] < history.iloc[0]
    assert found.result["cost"]["own_parameters"] == sum(
        p.numel() for p in found.method().decoder.parameters()
    )
    row = tables.row([found])
    assert "[" not in str(row["error removed %"]), "one seed says nothing of the spread"
    assert not any(name.startswith("logits") for name in found.traces)


def test_flow_that_no_clip_knows_is_refused(probe, trained):
    from kdlib.errors import UserError

    with pytest.raises(UserError, match=r"data\.known: the task flow needs 'flow'"):
        trained(replace(probe, data=replace(probe.data, known=())))
