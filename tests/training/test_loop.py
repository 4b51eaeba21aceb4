import dataclasses

import lightning_fabric
import pytest
import torch
from lightning_fabric.plugins.precision import MixedPrecision

from kdlib import tasks
from kdlib.errors import UserError
from kdlib.methods import build
from kdlib.methods.base import StepOutput
from kdlib.methods.supervised import Supervised
from kdlib.training import loop
from kdlib.training.evaluate import judged
from kdlib.training.loop import fit
from kdlib.training.recipe import Recipe

RECIPE = Recipe(epochs=4, learning_rate=2e-2, batch_size=8, warmup_epochs=1)


def state(method):
    return {name: value.clone() for name, value in method.student.state_dict().items()}


def same(a, b):
    return all(torch.equal(a[name], b[name]) for name in a)


def test_it_learns_and_keeps_the_best_validation_epoch(tiny, source):
    method = Supervised(tiny())
    history = fit(method, source, RECIPE, seed=0, validation=source)
    scores = [row["validation_score"] for row in history.epochs]
    assert scores[-1] == 1.0
    assert history.best_epoch == scores.index(max(scores))
    assert history.epochs[-1]["cross_entropy"] < history.epochs[0]["cross_entropy"]
    assert judged(method, source)["score"] == 1.0


def test_the_same_seed_gives_the_same_bits_and_another_does_not(tiny, source):
    runs = []
    for seed in (0, 0, 1):
        method = Supervised(tiny(dropout=0.2))
        fit(method, source, RECIPE, seed=seed)
        runs.append(state(method))
    assert same(runs[0], runs[1])
    assert not same(runs[0], runs[2])


@pytest.mark.parametrize("stop_after", [1, 3])
def test_an_interrupted_training_goes_on_exactly(tiny, source, tmp_path, stop_after):
    def method():
        return build("resolution", tiny(dropout=0.2), [tiny(1)], resolution=8, weight=1.0)

    straight = method()
    whole = fit(straight, source, RECIPE, seed=0, validation=source)

    def interrupt(epoch):
        if epoch == stop_after:
            raise KeyboardInterrupt

    file = tmp_path / "checkpoint.pt"
    options = {"seed": 0, "validation": source, "checkpoint": file, "checkpoint_seconds": 0}
    with pytest.raises(KeyboardInterrupt):
        fit(method(), source, RECIPE, progress=interrupt, **options)
    assert file.exists()
    resumed = method()
    history = fit(resumed, source, RECIPE, **options)
    assert same(state(straight), state(resumed))
    assert same(whole.best_state, history.best_state)
    assert [row["validation_score"] for row in history.epochs] == [
        row["validation_score"] for row in whole.epochs
    ]
    assert not file.exists()


@pytest.mark.parametrize("stop_after", [1, 3])
def test_in_half_precision_the_scale_of_gradients_goes_on_too(
    tiny, source, tmp_path, monkeypatch, stop_after
):
    """A scale that starts at 4 and doubles at every second step; float16 is a GPU's, so on a CPU
    the scaler of float16 goes with bfloat16."""
    scales = []

    class Quick(torch.amp.GradScaler):
        def update(self, *args, **kwargs):
            super().update(*args, **kwargs)
            scales.append(self.get_scale())

    original = lightning_fabric.Fabric

    def scaled(accelerator, devices, precision):
        plugin = MixedPrecision("bf16-mixed", "cpu")
        plugin.scaler = Quick("cpu", init_scale=4.0, growth_interval=2)
        return original(accelerator=accelerator, devices=devices, plugins=[plugin])

    monkeypatch.setattr(lightning_fabric, "Fabric", scaled)
    straight = Supervised(tiny())
    fit(straight, source, RECIPE, seed=0)
    whole = scales.copy()
    assert whole[:4] == [4.0, 8.0, 8.0, 16.0]

    def interrupt(epoch):
        if epoch == stop_after:
            raise KeyboardInterrupt

    scales.clear()
    where = {"checkpoint": tmp_path / "checkpoint.pt", "checkpoint_seconds": 0}
    with pytest.raises(KeyboardInterrupt):
        fit(Supervised(tiny()), source, RECIPE, seed=0, progress=interrupt, **where)
    resumed = Supervised(tiny())
    fit(resumed, source, RECIPE, seed=0, **where)
    assert scales == whole
    assert same(state(straight), state(resumed))


class Watched(Supervised):
    def step(self, batch, epoch):
        self.modes = [*getattr(self, "modes", []), self.student.training]
        return super().step(batch, epoch)


def test_student_trains_in_train_mode_after_every_evaluation(tiny, source):
    method = Watched(tiny())
    fit(method, source, RECIPE, seed=0, validation=source)
    assert len(method.modes) == 12
    assert all(method.modes)


def test_validation_does_not_change_training(tiny, source):
    with_validation, without = Supervised(tiny()), Supervised(tiny())
    fit(with_validation, source, RECIPE, seed=0, validation=source)
    fit(without, source, RECIPE, seed=0)
    assert same(state(with_validation), state(without))


def test_accumulated_batches_give_one_step_of_their_mean(tiny, source):
    recipe = dataclasses.replace(
        RECIPE, epochs=1, warmup_epochs=0, optimizer="sgd", learning_rate=1e-2, accumulate=3
    )
    steps = []
    original = torch.optim.SGD.step
    torch.optim.SGD.step = lambda self, *a, **k: (steps.append(1), original(self, *a, **k))[1]
    try:
        fit(Supervised(tiny()), source, recipe, seed=0)
    finally:
        torch.optim.SGD.step = original
    assert len(steps) == 1


@pytest.fixture
def gradients(monkeypatch):
    """The whole gradient, and the rate, of every step that SGD makes."""
    seen = []
    original = torch.optim.SGD.step

    def step(self, *args, **kwargs):
        groups = self.param_groups
        vectors = [p.grad.flatten() for group in groups for p in group["params"]]
        seen.append((torch.cat(vectors).clone(), groups[0]["lr"]))
        return original(self, *args, **kwargs)

    monkeypatch.setattr(torch.optim.SGD, "step", step)
    return seen


# So small a rate that the weights are the same at every step.
STILL = Recipe(
    epochs=1, learning_rate=1e-12, batch_size=4, optimizer="sgd", momentum=0.0, schedule="cosine"
)


@pytest.mark.parametrize("accumulate", [2, 4, 6, 16])
def test_a_step_s_gradient_is_the_mean_over_its_batches_also_of_the_last(
    tiny, source, gradients, accumulate
):
    """Six batches: their own gradients, averaged by hand."""
    fit(Supervised(tiny()), source, STILL, seed=0)
    single = [gradient for gradient, _ in gradients]
    assert len(single) == 6
    gradients.clear()
    fit(Supervised(tiny()), source, dataclasses.replace(STILL, accumulate=accumulate), seed=0)
    starts = range(0, 6, accumulate)
    expected = [torch.stack(single[start : start + accumulate]).mean(0) for start in starts]
    assert len(gradients) == len(expected)
    for (found, _), wanted in zip(gradients, expected, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-6)


def test_a_step_of_several_batches_has_the_rate_of_as_large_a_batch(tiny, source, gradients):
    fit(Supervised(tiny()), source, dataclasses.replace(STILL, batch_size=12), seed=0)
    large = [rate for _, rate in gradients]
    gradients.clear()
    fit(Supervised(tiny()), source, dataclasses.replace(STILL, accumulate=3), seed=0)
    assert [rate for _, rate in gradients] == pytest.approx(large, rel=1e-9, abs=0)


@pytest.mark.parametrize("accumulate", [1, 4])
def test_no_step_s_gradient_is_longer_than_clip_norm(tiny, source, gradients, accumulate):
    recipe = dataclasses.replace(STILL, accumulate=accumulate)
    fit(Supervised(tiny()), source, recipe, seed=0)
    free = [gradient for gradient, _ in gradients]
    gradients.clear()
    norm = float(min(gradient.norm() for gradient in free)) / 2
    fit(Supervised(tiny()), source, dataclasses.replace(recipe, clip_norm=norm), seed=0)
    for (clipped, _), whole in zip(gradients, free, strict=True):
        assert float(clipped.norm()) == pytest.approx(norm, rel=1e-3)
        torch.testing.assert_close(clipped / norm, whole / whole.norm(), rtol=1e-3, atol=1e-5)


def test_parity_with_a_plain_pytorch_loop(tiny, source):
    method = Supervised(tiny())
    fit(method, source, RECIPE, seed=0)
    plain = Supervised(tiny())
    optimizer = torch.optim.AdamW(
        [
            {"params": [p for p in plain.parameters() if p.ndim > 1], "weight_decay": 0.0},
            {"params": [p for p in plain.parameters() if p.ndim == 1], "weight_decay": 0.0},
        ]
    )
    for epoch in range(4):
        plain.train()
        batches = list(
            loop.training_batches(source, 8, seed=0, epoch=epoch, device=torch.device("cpu"))
        )
        for count, batch in enumerate(batches):
            for group in optimizer.param_groups:
                group["lr"] = 2e-2 * loop_rate(epoch + (count + 0.5) / len(batches))
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(plain.student(batch.clips), batch.labels).backward()
            optimizer.step()
    for a, b in zip(method.student.parameters(), plain.student.parameters(), strict=True):
        assert torch.allclose(a, b, atol=1e-6)


def test_multi_hot_labels_are_learnt_and_judged_by_map(tiny, source):
    hot = torch.nn.functional.one_hot(torch.from_numpy(source.videos.labels), 3).float().numpy()
    videos = dataclasses.replace(source.videos, labels=hot)
    both = dataclasses.replace(source, videos=videos)
    student = tasks.equip(tiny(), "multi_label", 3)
    history = fit(Supervised(student), both, RECIPE, seed=0, validation=both)
    assert history.epochs[-1]["validation_score"] > 0.95


def loop_rate(epoch):
    from math import cos, pi

    return epoch if epoch < 1 else 0.5 * (1 + cos(pi * (epoch - 1) / 3))


class Unlabelled(Supervised):
    """Pulls the features of a clip and of its noisy copy together; it predicts nothing."""

    def predict(self, batch):
        return None

    def step(self, batch, epoch):
        noisy = batch.clips + 0.1 * torch.randn_like(batch.clips)
        loss = (self.student.features(batch.clips) - self.student.features(noisy)).square().mean()
        self.steps = getattr(self, "steps", 0) + 1
        return StepOutput(loss, {"pull": loss.detach()})

    def after_step(self):
        self.after = [*getattr(self, "after", []), self.steps]


def test_without_labels_a_method_is_judged_by_its_own_loss(tiny, source):
    unlabelled = dataclasses.replace(source, labels=False)
    method = Unlabelled(tiny())
    fit_options = {"seed": 0, "validation": unlabelled}
    history = fit(method, unlabelled, RECIPE, **fit_options)
    scores = [row["validation_score"] for row in history.epochs]
    assert all(score < 0 for score in scores)
    assert scores[-1] > scores[0]
    assert history.best_epoch == scores.index(max(scores))
    assert judged(method, unlabelled) == judged(method, unlabelled), "the same draws every time"
    with pytest.raises(UserError, match=r"data\.labels: withheld"):
        fit(Supervised(tiny()), unlabelled, RECIPE, seed=0)


def test_after_step_follows_every_step_of_the_optimiser(tiny, source):
    method = Unlabelled(tiny())
    recipe = dataclasses.replace(RECIPE, epochs=1, accumulate=2, warmup_epochs=0)
    fit(method, source, recipe, seed=0)
    assert method.after == [2, 3]


def test_frozen_parts_do_not_move_even_with_weight_decay(tiny, source):
    method = Supervised(tiny())
    before = state(method)
    recipe = dataclasses.replace(RECIPE, freeze=("backbone",), weight_decay=0.5)
    fit(method, source, recipe, seed=0)
    moved = {n for n, value in state(method).items() if not torch.equal(value, before[n])}
    assert moved == {"head.fc.weight", "head.fc.bias"}


@pytest.mark.parametrize("fault", ["flip", "truncate", "foreign", "empty"])
def test_a_damaged_or_foreign_checkpoint_is_set_aside_and_the_training_starts_again(
    tiny, source, tmp_path, capsys, fault
):
    straight = Supervised(tiny())
    fit(straight, source, RECIPE, seed=0)

    def interrupt(epoch):
        if epoch == 2:
            raise KeyboardInterrupt

    file = tmp_path / "checkpoint.pt"
    options = {"seed": 0, "checkpoint": file, "checkpoint_seconds": 0, "belongs_to": "a"}
    with pytest.raises(KeyboardInterrupt):
        fit(Supervised(tiny()), source, RECIPE, progress=interrupt, **options)
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    if fault in ("flip", "truncate", "empty"):
        kept = {"flip": bytes(content), "truncate": bytes(content[:900]), "empty": b""}
        file.write_bytes(kept[fault])
    else:
        options["belongs_to"] = "b"
    again = Supervised(tiny())
    epochs = []
    fit(again, source, RECIPE, progress=epochs.append, **options)
    assert epochs == [1, 2, 3, 4]
    assert same(state(straight), state(again))
    assert "set aside a checkpoint" in capsys.readouterr().err
    assert file.with_suffix(".damaged").exists()
