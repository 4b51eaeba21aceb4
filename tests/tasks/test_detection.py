"""Actions of boxes: loss and frame mAP by hand, and that a head sees its own box alone."""

import math
from pathlib import Path

import pytest
import torch

from kdlib import models, tasks
from kdlib.clips.batches import Batch
from kdlib.data import ava
from kdlib.methods.supervised import Supervised
from kdlib.tasks import detection

TOY = Path(__file__).parents[2] / "../shared/data/annotations/ava_toy/eval_detection"

BOXES = torch.tensor([[[0.0, 0, 4, 4], [4, 4, 8, 8]], [[0, 0, 4, 4], [0, 0, 0, 0]]])


def batch(labels, boxes=BOXES):
    return Batch(torch.zeros(2, 3, 1, 8, 8), labels, torch.arange(2), known={"boxes": boxes})


def test_loss_by_hand_over_the_actors_that_are_there():
    logits = torch.tensor([[[2.0, 0.0], [0.0, 0.0]], [[0.0, 1.0], [9.0, 9.0]]])
    found = detection.loss(logits, batch(torch.tensor([[0, 1], [1, -1]])))
    first = (math.log(1 + math.exp(-2)) + math.log(2)) / 2
    torch.testing.assert_close(found, torch.tensor([first, math.log(1 + math.exp(-1))]))


def test_several_labels_an_actor_are_binary():
    logits = torch.tensor([[[0.0, 2.0], [0.0, 0.0]], [[-1.0, 0.0], [9.0, 9.0]]])
    labels = torch.tensor([[[1, 1], [0, 1]], [[0, 1], [0, 0]]], dtype=torch.uint8)
    found = detection.loss(logits, batch(labels))
    first = (math.log(2) + math.log(1 + math.exp(-2)) + 2 * math.log(2)) / 2
    torch.testing.assert_close(
        found, torch.tensor([first, math.log(1 + math.exp(-1)) + math.log(2)])
    )


def test_a_clip_without_actors_costs_nothing():
    found = detection.loss(torch.randn(2, 2, 2), batch(torch.full((2, 2), -1)))
    assert found.tolist() == [0, 0]


def judge(logits, labels):
    truth = {name: value[:, None] for name, value in detection.truth(batch(labels)).items()}
    return detection.judge(logits[:, None], truth)


def test_perfect_scores_are_one_and_swapped_ones_are_not():
    labels = torch.tensor([[0, 1], [1, -1]])
    right = torch.nn.functional.one_hot(labels.clamp_min(0), 2) * 9.0
    assert judge(right, labels) == {"score": 1.0, "actor_top1": 1.0}
    wrong = judge(-right, labels)
    assert wrong["actor_top1"] == 0
    # Class 0: its one box is the last of three. Class 1: both of its boxes come after the other.
    assert wrong["score"] == pytest.approx((1 / 3 + 2 / 3) / 2)


def test_several_labels_an_actor_are_judged_class_by_class():
    labels = torch.tensor([[[1, 1], [0, 1]], [[0, 1], [0, 0]]], dtype=torch.uint8)
    assert judge(labels * 8.0 - 4, labels) == {"score": 1.0}


def test_the_head_sees_what_is_in_its_box():
    head = detection.BoxHead(2, 2)
    features = torch.zeros(1, 2, 1, 8, 8)
    features[:, 0, :, :4, :4] = 1.0
    same, other = BOXES[:1].clone(), features.clone()
    other[:, 0, :, 6:, :2] = 9.0
    torch.testing.assert_close(head(features, same), head(other, same))
    other[:, 1, :, 1:3, 1:3] = 9.0
    assert not torch.allclose(head(features, same)[0, 0], head(other, same)[0, 0])
    torch.testing.assert_close(head(features, same)[0, 1], head(other, same)[0, 1])


@pytest.fixture
def toy():
    """AVA's toy ground truth on clips of noise: boxes in pixels, several labels an actor."""
    if not TOY.exists():
        pytest.skip("no toy ground truth of AVA")
    actions, keyframes = ava.read_actions(TOY / "action_list.txt"), ava.read_boxes(TOY / "gt.csv")
    shape = len(keyframes), max(map(len, keyframes.values()))
    boxes, labels = torch.zeros(*shape, 4), torch.zeros(*shape, len(actions), dtype=torch.uint8)
    for image, rows in enumerate(keyframes.values()):
        for actor, row in enumerate(rows):
            boxes[image, actor] = 64 * torch.tensor(row.box)
            labels[image, actor, [list(actions).index(action) for action in row.actions]] = 1
    torch.manual_seed(0)
    clips = torch.randn(len(keyframes), 3, 4, 64, 64)
    return Batch(clips, labels, torch.arange(len(clips)), known={"boxes": boxes})


def judged(model, toy):
    with torch.no_grad():
        output = detection.answer(model.eval(), toy)
    truth = {name: value[:, None] for name, value in detection.truth(toy).items()}
    return detection.judge(output[:, None], truth)["score"]


def test_a_vit_learns_ava_s_toy_actions_from_the_boxes(toy):
    network = models.build("vit", 3, width=32, blocks=1, patch=8)
    model = tasks.equip(network, "detection", toy.labels.shape[2])
    method = Supervised(model)
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3)
    assert judged(model, toy) < 0.9
    for _ in range(60):
        optimizer.zero_grad()
        method.step(toy, 0).loss.backward()
        optimizer.step()
    assert judged(model, toy) == 1
    shuffled = {"boxes": toy.known["boxes"].roll(1, 0)}
    swapped = Batch(toy.clips, toy.labels, toy.indices, known=shuffled)
    assert judged(model, swapped) < 0.9
