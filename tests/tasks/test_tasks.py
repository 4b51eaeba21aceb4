"""What every task promises."""

import pytest
import torch

from kdlib import models, tasks
from kdlib.clips.batches import Batch
from kdlib.data import manifest
from kdlib.errors import UserError


def test_tasks_are_the_files_and_offer_what_the_protocol_lists():
    assert set(tasks.names()) == {"classification", "multi_label", "detection", "flow"}
    for name in tasks.names():
        module = tasks.load(name)
        for part in ("KNOWN", "SCORE", "head", "answer", "loss", "truth", "judge", "keep"):
            assert hasattr(module, part), (name, part)


def test_every_manifest_names_a_task():
    for name in [*manifest.names(), *manifest.generated_names()]:
        assert manifest.load(name).task.replace("-", "_") in tasks.names()


def test_an_unknown_task_is_named():
    with pytest.raises(UserError, match=r"task: unknown value 'clasification'.*'classification'"):
        tasks.load("clasification")


def test_a_model_is_equipped_with_another_head_only_where_it_needs_one(tiny):
    model = tiny()
    head = model.head
    assert tasks.equip(model, "classification", 3).head is head
    tasks.equip(model, "flow", 3)
    assert model.head is not head
    assert tasks.of(model) is tasks.load("flow")
    assert tasks.of(torch.nn.Linear(2, 3)) is tasks.load("classification")


def batch_of(task, count=3, classes=3):
    torch.manual_seed(0)
    labels = {
        "classification": torch.arange(count) % classes,
        "multi_label": (torch.rand(count, classes) > 0.4).float(),
        "flow": torch.arange(count),
        "detection": torch.tensor([[0, 1], [2, -1], [1, 1]]),
    }
    box = torch.tensor([2.0, 2.0, 10.0, 12.0])
    boxes = torch.stack([box, box + 3]).repeat(count, 1, 1)
    boxes[1, 1] = 0
    known = {"flow": torch.randn(count, 3, 2, 16, 16), "boxes": boxes}
    return Batch(
        torch.randn(count, 3, 4, 16, 16),
        labels[task],
        torch.arange(count),
        known={name: known[name] for name in tasks.load(task).KNOWN},
    )


@pytest.mark.parametrize("task", ["classification", "multi_label", "detection", "flow"])
def test_loss_is_a_value_a_clip_and_trains_the_model(task):
    module, batch = tasks.load(task), batch_of(task)
    model = tasks.equip(models.build("c3d", 3, width=4), task, 3).train()
    output = module.answer(model, batch)
    loss = module.loss(output, batch)
    assert loss.shape == (3,)
    loss.mean().backward()
    assert all(p.grad is not None for p in model.parameters())
    alone = Batch(
        batch.clips[1:2], batch.labels[1:2], batch.indices[1:2],
        known={name: value[1:2] for name, value in batch.known.items()},
    )  # fmt: skip
    torch.testing.assert_close(module.loss(output[1:2], alone), loss[1:2])
    outputs = output.detach()[:, None]
    truth = {name: value[:, None] for name, value in module.truth(batch).items()}
    judged = module.judge(outputs, truth)
    assert isinstance(judged["score"], float)
    assert all(len(kept) == 3 for kept in module.keep(outputs).values())


def test_withheld_labels_are_refused_where_they_are_needed():
    batch = Batch(torch.zeros(1, 3, 1, 8, 8), None, torch.zeros(1))
    with pytest.raises(UserError, match=r"data\.labels: withheld"):
        tasks.load("classification").loss(torch.zeros(1, 3), batch)


def test_the_classes_that_are_kept_give_the_very_score():
    # Logits closer than half precision can tell: rounded, the first class would win everywhere.
    logits = torch.tensor([[5.0, 5.0005, 0.0]]).repeat(4, 1)[:, None]
    assert (logits.half() == logits.half()[:, :, :1])[..., 1].all()
    labels = torch.tensor([1, 1, 1, 0])
    task = tasks.load("classification")
    kept = task.keep(logits)["predicted"]
    assert kept.tolist() == [1, 1, 1, 1]
    judged = task.judge(logits, {"labels": labels[:, None]})
    assert (kept == labels.numpy()).mean() == judged["score"] == 0.75


def test_kept_classes_are_those_of_videos_not_of_views():
    views = torch.tensor([[[4.0, 0.0], [0.0, 1.0], [0.0, 1.0]]])
    assert tasks.load("classification").keep(views)["predicted"].tolist() == [0]
