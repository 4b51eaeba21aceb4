"""A method as a stranger would write it: a detector trained on boxes that are jittered."""

from dataclasses import replace

import pytest
import torch

from kdlib.methods.base import Method, StepOutput
from kdlib.runs.spec import DataSpec, MethodSpec, ModelSpec, RunSpec
from kdlib.study import tables
from kdlib.training.recipe import Recipe


class JitteredBoxes(Method):
    """The task's loss on boxes that are moved by up to `pixels`; predictions are on true ones."""

    pixels: float = 1.0

    def step(self, batch, epoch):
        boxes = batch.known["boxes"]
        moved = boxes + self.pixels * (2 * torch.rand_like(boxes[..., :1]) - 1)
        moved = torch.where((boxes[..., 2:] > boxes[..., :2]).all(-1, keepdim=True), moved, boxes)
        output = self.predict(replace(batch, known={"boxes": moved}))
        loss = self.task.loss(output, batch).mean()
        return StepOutput(loss, {"cross_entropy": loss.detach()}, output)


ACTORS = DataSpec(
    "generated/actors", train=64, validation=16, test=32, frames=4, size=32, known=("boxes",)
)
DETECTOR = RunSpec(
    ACTORS, ModelSpec("c3d", {"width": 8}), Recipe(epochs=4, learning_rate=1e-2, batch_size=8)
)


@pytest.mark.slow
def test_a_detector_on_several_actors(trained):
    method = MethodSpec("tests.strangers.test_detector:JitteredBoxes", options={"pixels": 1.0})
    specs = [replace(DETECTOR, method=method, seed=seed) for seed in (0, 1)]
    plain, *jittered = trained(DETECTOR, *specs)
    for record in (plain, *jittered):
        assert set(record.result["last"]) == {"score", "actor_top1"}
        assert 0 < record.result["last"]["score"] <= 1
        assert record.history.cross_entropy.iloc[-1] < record.history.cross_entropy.iloc[0]
        assert record.student().head.fc.out_features == 8
    row = tables.row(jittered)
    assert str(row["frame mAP %"]).endswith("]")
    assert row["n"] == 2
