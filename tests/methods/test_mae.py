"""Masked pixels: the loss by a second way, and what a prediction must beat."""

import pytest
import torch

from kdlib import methods, models
from kdlib.clips.batches import Batch
from kdlib.errors import UserError

VIT = {"width": 32, "blocks": 2, "patch": 8}


def make(mask_ratio=0.75, normalised=True, **options):
    torch.manual_seed(0)
    student = models.build("vit", 3, **VIT | options)
    return methods.build("mae", student, [], mask_ratio=mask_ratio, normalised=normalised)


def batch_of(clips):
    return Batch(clips, None, torch.arange(len(clips)))


def patch_of(clip, place, tubelet):
    """Pixels (3, tubelet, 8, 8) of one place of a clip (3, T, 32, 32)."""
    time, row, column = place // 16, place % 16 // 4, place % 4
    return (
        clip[:, tubelet * time : tubelet * (time + 1)]
        .unflatten(2, (4, 8))[:, :, row]
        .unflatten(3, (4, 8))[:, :, :, column]
    )


@pytest.mark.parametrize("normalised", [False, True])
@pytest.mark.parametrize("image", [False, True])
def test_the_loss_by_loops_over_patches(image, normalised):
    method = make(image=image, normalised=normalised).eval()
    clips = torch.randn(2, 3, 4, 32, 32) + torch.tensor([0.0, 1.0, 2.0])[:, None, None, None]
    torch.manual_seed(3)
    found = method.step(batch_of(clips), 0).loss
    shown = clips if not image else clips.transpose(1, 2).flatten(0, 1)[:, :, None]
    torch.manual_seed(3)
    made, places = method.predicted(shown)
    tubelet, errors = (1 if image else 2), []
    for clip, answers, hidden in zip(shown, made["pixels"], places.tolist(), strict=True):
        for answer, place in zip(answers, hidden, strict=True):
            pixels = patch_of(clip, place, tubelet)
            axes = (0, 1, 2, 3) if image else (1, 2, 3)
            mean, std = pixels.mean(axes, keepdim=True), pixels.std(axes, keepdim=True)
            if normalised:
                pixels = (pixels - mean) / (std + 1e-6)
            target = pixels.movedim(0, -1).flatten()
            errors.append((answer - target).square().mean())
    torch.testing.assert_close(found, torch.stack(errors).mean())


def test_frames_of_an_image_network_have_masks_of_their_own():
    method = make(image=True)
    shown = method.sequences(torch.randn(2, 3, 8, 32, 32))
    assert shown.shape == (16, 3, 1, 32, 32)
    assert len(method.draw(shown)[0].unique(dim=0)) > 8


def test_teachers_are_refused():
    student = models.build("vit", 3, **VIT)
    with pytest.raises(UserError, match=r"method\.teachers: mae takes none, got 1; see mvd"):
        methods.build("mae", student, [student], mask_ratio=0.5)


def test_another_model_is_refused(tiny):
    with pytest.raises(UserError, match="masks are for tokens; the student must be a model named"):
        methods.build("mae", tiny(), [], mask_ratio=0.5)


def test_controls_by_hand():
    """Two visible columns of four: the nearest is beside, and the mean is of all that is hidden."""
    method = make().eval()
    clips = torch.randn(3, 3, 2, 32, 32)
    torch.manual_seed(2)
    found = method.controls(batch_of(clips))["pixels"]
    torch.manual_seed(2)
    visible, masked = method.draw(clips)
    target = method.targets(clips)["pixels"]
    rows = torch.arange(3)[:, None]
    hidden, seen = target[rows, masked], target[rows, visible]
    mean = hidden.flatten(0, 1).mean(0)
    torch.testing.assert_close(found["mean"], (hidden - mean).square().mean())
    errors = []
    for clip in range(3):
        for place, truth in zip(masked[clip].tolist(), hidden[clip], strict=True):
            distances = [
                (place // 4 - v // 4) ** 2 + (place % 4 - v % 4) ** 2
                for v in visible[clip].tolist()
            ]
            best = min(distances)
            near = [(truth - s).square().mean() for s, d in zip(seen[clip], distances, strict=True)
                    if d == best]  # fmt: skip
            errors.append((min(near), max(near)))
    low, high = (torch.stack(side).mean() for side in zip(*errors, strict=True))
    assert low - 1e-5 <= found["neighbour"] <= high + 1e-5
    torch.manual_seed(2)
    torch.testing.assert_close(found["prediction"], method.step(batch_of(clips), 0).loss.detach())


@pytest.mark.slow
def test_training_beats_the_mean_and_the_neighbour():
    """Of clips that are alike but for a little noise."""
    torch.manual_seed(0)
    batch = batch_of(torch.randn(3, 4, 32, 32) + 0.3 * torch.randn(16, 3, 4, 32, 32))
    method = make(0.5)
    optimizer = torch.optim.AdamW(method.parameters(), 3e-3)
    before = method.controls(batch)["pixels"]
    assert before["prediction"] > before["mean"]
    for _ in range(100):
        optimizer.zero_grad()
        method.step(batch, 0).loss.backward()
        optimizer.step()
    after = method.eval().controls(batch)["pixels"]
    assert after["prediction"] < 0.7 * after["mean"]
    assert after["prediction"] < 0.7 * after["neighbour"]
