"""A method as a stranger would write it: rotations, without labels and without test clips."""

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from kdlib.methods.base import Method, StepOutput
from kdlib.runs.spec import DataSpec, MethodSpec, ModelSpec, RunSpec, Start
from kdlib.study import tables
from kdlib.training.recipe import Recipe


class RotNet(Method):
    """Which of `rotations` quarter turns was a clip given? (Jing et al. 2018)"""

    rotations: int = 4

    def __init__(self, student, teachers=(), **options):
        super().__init__(student, teachers, **options)
        self.classifier = nn.Linear(student.channels, self.rotations)

    def step(self, batch, epoch):
        turns = torch.arange(len(batch.clips), device=batch.clips.device) % self.rotations
        turned = [clip.rot90(k % self.rotations, (2, 3)) for k, clip in enumerate(batch.clips)]
        pooled = self.student.features(torch.stack(turned)).mean((2, 3, 4))
        loss = F.cross_entropy(self.classifier(pooled), turns)
        return StepOutput(loss, {"rotation": loss.detach()})

    def predict(self, batch):
        return None


UNLABELLED = DataSpec(
    "generated/detail12", train=32, validation=16, frames=2, size=16, labels=False
)
RECIPE = Recipe(epochs=2, learning_rate=1e-2, batch_size=16)


@pytest.fixture
def pretraining():
    method = MethodSpec("tests.strangers.test_rotnet:RotNet", options={"rotations": 4})
    return RunSpec(UNLABELLED, ModelSpec("tsn", {"width": 4}), RECIPE, method)


@pytest.mark.slow
def test_pre_training_and_then_fine_tuning_from_its_backbone(pretraining, trained):
    labelled = replace(UNLABELLED, labels=True, test=12)
    scratch = RunSpec(labelled, pretraining.model, RECIPE)
    tuned = replace(scratch, start=Start(pretraining, "backbone"))
    before, after, other = trained(pretraining, tuned, scratch)
    assert set(before.result["last"]) == {"validation_loss"}
    assert "score" not in str(before.result)
    assert "predicted_last" not in before.traces
    assert before.result["cost"]["own_parameters"] == 16 * 4 + 4
    assert before.method().classifier.weight.shape == (4, 16)
    assert after.result["last"]["score"] >= 0
    row = tables.row([after], [other])
    assert "[" not in str(row["top-1 %"]), "one seed says nothing of the spread"
    assert str(row["gain"])[0] in "+-"
    moved = {
        name
        for (name, a), b in zip(
            before.student().named_parameters(), after.student().parameters(), strict=True
        )
        if torch.equal(a, b)
    }
    assert moved == set(), "fine-tuning trains all of it"


def test_a_misspelt_option_is_refused_before_anything_trains(pretraining, trained):
    from kdlib.errors import UserError

    wrong = replace(pretraining, method=replace(pretraining.method, options={"rotation": 4}))
    with pytest.raises(UserError, match=r"unknown value 'rotation'.*Did you mean 'rotations'"):
        trained(wrong)
