import numpy as np
import pytest
import torch

from kdlib.clips.batches import Batch, ordered_batches
from kdlib.errors import UserError
from kdlib.methods import build
from kdlib.methods.adaptive import scaled, selection_probability
from kdlib.methods.base import Epoch
from kdlib.training.loop import fit
from kdlib.training.recipe import Recipe

RECIPE = Recipe(epochs=5, learning_rate=1e-2, batch_size=4)
BASES = ["kd", "dkd", "ctkd", "crosskd", "dualkd", "gkd"]


def make(tiny, base="kd", **options):
    settings = {"variant": options["variant"]} if base == "crosskd" and "variant" in options else {}
    around = build(base, tiny(), [tiny(1)], **settings)
    return build("adaptive", around, **{"ratio": 0.25, **options})


def epoch(source, number=0, total=10):
    def batches():
        return ordered_batches(source, torch.device("cpu"))

    return Epoch(number, total, len(source.videos), batches)


@pytest.mark.parametrize("base", BASES)
def test_around_every_base_the_student_learns_on_a_selection(tiny, source, base):
    method = make(tiny, base=base)
    before = {k: v.clone() for k, v in method.teachers.state_dict().items()}
    history = fit(method, source, RECIPE, seed=0)
    assert [row["samples"] for row in history.epochs] == [4.0] * 5  # 6 of 24, one batch of 4
    assert all(torch.equal(v, before[k]) for k, v in method.teachers.state_dict().items())
    assert all(np.isfinite(row["distillation"]) for row in history.epochs)
    assert 0 <= history.epochs[-1]["strength"] <= 1
    traces = method.traces()
    assert traces["was_selected"].shape == traces["had_strength"].shape == (5, 24)
    assert traces["evaluated"].tolist() == [0, 1, 2, 3, 4]
    assert (traces["was_selected"].sum(1) == 6).all()


def test_the_loss_by_hand(tiny, source):
    method = make(tiny)
    method.before_epoch(epoch(source))
    method.eval()
    batch = next(ordered_batches(source, torch.device("cpu")))
    terms = build("kd", method.student, [method.teachers[0]]).eval().terms(batch, 0)
    strength = method.samples["strength"]
    expected = (2 * (1 - strength) * terms.cross_entropy + 2 * strength * terms.distillation).mean()
    torch.testing.assert_close(method.step(batch, 0).loss, expected)
    some = Batch(batch.clips[[7, 3]], batch.labels[[7, 3]], torch.tensor([7, 3]))
    weights = strength[[7, 3]]
    terms = method.base.terms(some, 0)
    by_sample = 2 * (1 - weights) * terms.cross_entropy + 2 * weights * terms.distillation
    torch.testing.assert_close(method.step(some, 0).loss, by_sample.mean())


@pytest.mark.parametrize(("supervisor", "part"), [("teacher", 1), ("labels", 0)])
def test_one_supervisor_alone(tiny, source, supervisor, part):
    method = make(tiny, supervisor=supervisor)
    method.before_epoch(epoch(source))
    method.eval()
    batch = next(ordered_batches(source, torch.device("cpu")))
    terms = method.base.terms(batch, 0)
    torch.testing.assert_close(method.step(batch, 0).loss, 2 * terms[part].mean())


def test_strength_is_one_minus_difficulty_with_a_tenth_of_its_history(tiny, source):
    method = make(tiny)
    method.eval()
    losses, _ = method._evaluate(epoch(source), 0.0)
    method.before_epoch(epoch(source))
    first = 1 - (losses - losses.min()) / (losses.max() - losses.min())
    torch.testing.assert_close(method.samples["strength"], first)
    assert method.samples["strength"].argmax() == losses.argmin()
    # A second evaluation of the same student: those selected weigh half as much.
    method.before_epoch(epoch(source, 1, 10**9))
    counts = torch.zeros(24)
    counts[method.samples["was_selected"][0]] = 1
    products = losses / (counts + 1)
    new = 1 - (products - products.min()) / (products.max() - products.min())
    expected = 0.1 * first + 0.9 * new
    torch.testing.assert_close(method.samples["strength"], expected, rtol=1e-4, atol=1e-4)


def test_easy_hard_and_random_picks(tiny, source):
    picks = {}
    for pick in ("easy", "hard", "random"):
        torch.manual_seed(0)
        method = make(tiny, pick=pick, gamma=0.0)
        picks[pick] = set(method.before_epoch(epoch(source)).tolist())
        strength = method.samples["strength"]
    order = strength.argsort().tolist()
    assert picks["hard"] == set(order[:6])
    assert picks["easy"] == set(order[-6:])
    assert picks["random"] not in (picks["easy"], picks["hard"])


def test_an_interval_keeps_the_selection(tiny, source):
    method = make(tiny, interval=3)
    fit(method, source, RECIPE, seed=0)
    assert len(method.traces()["was_selected"]) == 2
    assert method.traces()["evaluated"].tolist() == [0, 3]
    assert method.cycle == 3


def test_the_student_is_evaluated_in_eval_mode_and_trained_in_train_mode(tiny, source):
    method = make(tiny)
    before = {k: v.clone() for k, v in method.student.state_dict().items()}
    method.before_epoch(epoch(source))
    assert all(torch.equal(v, before[k]) for k, v in method.student.state_dict().items())
    assert method.student.training
    assert not method.teachers[0].training


def test_an_interrupted_training_goes_on_exactly(tiny, source, tmp_path):
    def run(progress=lambda n: None, **options):
        method = make(tiny, base="ctkd", interval=2)
        fit(method, source, RECIPE, seed=0, progress=progress, **options)
        return method

    def interrupt(number):
        if number == 3:
            raise KeyboardInterrupt

    where = {"checkpoint": tmp_path / "c.pt", "checkpoint_seconds": 0}
    straight = run()
    with pytest.raises(KeyboardInterrupt):
        run(interrupt, **where)
    resumed = run(**where)
    for name, value in straight.student.state_dict().items():
        assert torch.equal(value, resumed.student.state_dict()[name])
    for name, value in straight.own_state().items():
        assert torch.equal(value, resumed.own_state()[name])
    for name, value in straight.more_state().items():
        assert torch.equal(value, resumed.more_state()[name])


def test_as_released(tiny, source):
    """One strength a batch; 0 but for the samples of the last mini-batch; the teacher trains."""
    method = make(tiny, variant="released", batch=4, ratio=0.5)
    torch.manual_seed(0)
    chosen = method.before_epoch(epoch(source))
    assert len(chosen) == 12
    assert set(chosen.tolist()) <= set(range(20))
    strength = method.samples["strength"]
    assert (strength[:20] == 0).all()
    assert method.teachers[0].training
    method.before_epoch(epoch(source, 1))
    assert method.samples["counts"].sum() == 24
    batch = next(ordered_batches(source, torch.device("cpu")))
    assert float(method.step(batch, 0).parts["strength"]) == pytest.approx(
        float(method.samples["strength"].mean())
    )
    crossed = make(tiny, base="crosskd", variant="released", batch=4, supervisor="teacher")
    crossed.before_epoch(epoch(source))
    crossed.step(batch, 0).loss.backward()
    assert not any(p.grad.abs().sum() for p in crossed.student.parameters())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ratio": 0.0}, "adaptive.ratio: 0.0: input should be greater than 0"),
        ({"gamma": 1.5}, "adaptive.gamma: 1.5: input should be less than or equal to 1"),
        ({"threshold": -0.1}, "adaptive.threshold: -0.1: input should be greater than or equal"),
        ({"interval": 0}, "adaptive.interval: 0: input should be greater than 0"),
        ({"base": "kdd"}, "method.name: unknown value 'kdd'.*Did you mean 'kd'"),
        ({"rate": "cosin"}, "adaptive.rate: unknown value 'cosin'.*Did you mean 'cosine'"),
        ({"intervall": 2}, "unknown value 'intervall'.*Did you mean 'interval'"),
    ],
)
def test_impossible_settings_are_named(tiny, options, message):
    with pytest.raises(UserError, match=message):
        make(tiny, **options)


def test_a_ratio_that_selects_nothing_is_named(tiny, source):
    with pytest.raises(UserError, match=r"adaptive.ratio: 0.01 of 24 samples is none"):
        make(tiny, ratio=0.01).before_epoch(epoch(source))
    with pytest.raises(UserError, match=r"adaptive.batch: 0.25 of 1 mini-batches of 24"):
        make(tiny, variant="released", batch=24).before_epoch(epoch(source))


def test_losses_that_are_not_finite_are_named():
    with pytest.raises(UserError, match="the difficulty holds NaN"):
        scaled(torch.tensor([1.0, float("nan")]))
    assert scaled(torch.full((3,), 2.0)).tolist() == [0, 0, 0]


@pytest.mark.parametrize(("ratio", "count"), [(0.35, 8), (0.29, 6), (0.999, 23), (0.25, 6)])
def test_a_share_of_the_samples_is_rounded_down(tiny, source, ratio, count):
    """Of 24: 8.4, 6.96, 23.976 and 6."""
    assert len(make(tiny, ratio=ratio).before_epoch(epoch(source))) == count


def test_probabilities():
    found = selection_probability(torch.tensor([0, 1, 3]))
    torch.testing.assert_close(found, torch.tensor([1, 1 / 2, 1 / 4]) / 1.75)


def test_an_epoch_s_shares_for_the_estimate_of_its_time(tiny):
    assert build("kd", tiny(), [tiny(1)]).shares() == (1.0, 0.0)
    assert make(tiny, ratio=0.5, interval=5).shares() == (0.5, 0.2)


def test_it_goes_around_a_base_distillation(tiny):
    with pytest.raises(UserError, match="adaptive: it takes base, not a module and"):
        build("adaptive", tiny(), [tiny(1)])
    with pytest.raises(UserError, match="around a base distillation such as kd, not a Supervised"):
        build("adaptive", build("supervised", tiny(), []))
