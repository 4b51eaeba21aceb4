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


def epoch(source, number=0, total=10, cut=64):
    def batches(indices=None, videos=cut):
        return ordered_batches(source, torch.device("cpu"), videos, indices)

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


@pytest.mark.parametrize("base", BASES)
def test_difficulty_does_not_depend_on_how_the_samples_are_cut_into_batches(tiny, source, base):
    """24 samples in one batch, with a remainder of 1 and of 2, and two by two."""
    method = make(tiny, base=base)
    method.base.before_epoch(epoch(source))
    whole, features = method._evaluate(epoch(source, 1), 0.0)
    assert (whole > 0).all()
    for cut in (23, 22, 2):
        losses, others = method._evaluate(epoch(source, 1, cut=cut), 0.0)
        torch.testing.assert_close(losses, whole, rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(others, features)


def watched(method, monkeypatch):
    """What the base method sees from now on: clips and what it makes of them."""
    seen, see = [], method.base.see

    def watch(batch, number):
        seen.append((batch.clips.clone(), see(batch, number)))
        return seen[-1][1]

    monkeypatch.setattr(method.base, "see", watch)
    return seen


def test_difficulty_is_of_interrupted_clips_and_training_of_whole_ones(tiny, source, monkeypatch):
    clips = next(ordered_batches(source, torch.device("cpu"))).clips
    method = make(tiny)
    seen = watched(method, monkeypatch)
    for number, dropped in ((0, 0), (4, 1), (5, 1)):  # 1 - 0.6^0.9 is 0.369, 1 - 0.5^0.9 is 0.464
        method.before_epoch(epoch(source, number))
        empty = (seen[-1][0] == 0).all(1).all(-1).all(-1)
        assert (empty.sum(1) == dropped).all()
        assert (seen[-1][0][empty.logical_not()[:, None].expand(-1, 3, -1)] == 0).sum() < 100
    method.before_epoch(epoch(source, 8))
    shuffled = seen[-1][0]
    assert not torch.equal(shuffled, clips)
    torch.testing.assert_close(shuffled.sum(2), clips.sum(2))
    batch = next(ordered_batches(source, torch.device("cpu")))
    method.step(batch, 8)
    assert torch.equal(seen[-1][0], clips)


def test_features_are_mixed_one_to_nine_while_frames_are_dropped(tiny, source, monkeypatch):
    method = make(tiny)
    features = [torch.randn(24, 16) for _ in range(4)]
    found = iter(features)
    monkeypatch.setattr(method, "_evaluate", lambda *_: (torch.rand(24), next(found)))
    method.before_epoch(epoch(source, 0))
    assert torch.equal(method.samples["features"], features[0])
    method.before_epoch(epoch(source, 1))
    mixed = 0.1 * features[0] + 0.9 * features[1]
    torch.testing.assert_close(method.samples["features"], mixed)
    # The rate reaches one half between epochs 5 and 6 of 10; from there on clips are shuffled.
    method.before_epoch(epoch(source, 6))
    torch.testing.assert_close(method.samples["features"], mixed)
    method.before_epoch(epoch(source, 5))
    torch.testing.assert_close(method.samples["features"], 0.1 * mixed + 0.9 * features[3])


def test_how_long_a_feature_is_does_not_count_in_the_selection(tiny, source, monkeypatch):
    """Two of three, two of which point the same way: the third, however short, is one of them."""
    method = make(tiny, gamma=1.0, ratio=0.7)
    features = torch.tensor([[5.0, 0.0], [1.0, 0.0], [0.0, 1e-3]])
    monkeypatch.setattr(method, "_evaluate", lambda *_: (torch.ones(3), features))
    assert method.before_epoch(epoch(source)._replace(videos=3)).tolist() in ([0, 2], [1, 2])


def test_dualkd_s_difficulty_compares_with_the_student_of_an_epoch_before(
    tiny, source, monkeypatch
):
    method = make(tiny, base="dualkd")
    seen = watched(method, monkeypatch)
    method.before_epoch(epoch(source, 0, 10**9))
    assert seen[0][1].previous_logits is None
    with torch.no_grad():
        method.student.head.fc.bias += torch.tensor([2.0, 0.0, -2.0])
    method.before_epoch(epoch(source, 1, 10**9))
    torch.testing.assert_close(seen[1][1].previous_logits, seen[0][1].student_logits)
    assert not torch.allclose(seen[1][1].student_logits, seen[0][1].student_logits)
    assert method.base.previous.head.fc.bias.equal(method.student.head.fc.bias)


def released_variant(tiny, **options):
    return make(tiny, variant="released", batch=4, ratio=0.5, **options)


def test_as_released(tiny, source):
    """One strength a batch; 0 but for the samples of a last mini-batch; the teacher trains."""
    method = released_variant(tiny)
    torch.manual_seed(0)
    chosen = method.before_epoch(epoch(source))
    # The last of six mini-batches is in no kernel; its samples alone have a strength.
    assert len(chosen) == 12
    first = method.samples["strength"].clone()
    assert (first != 0).sum() in (0, 4)
    last = first.nonzero()[:, 0].tolist()
    assert not set(last) & set(chosen.tolist())
    assert method.teachers[0].training
    had = first != 0
    for number in range(1, 9):
        method.before_epoch(epoch(source, number))
        had |= method.samples["strength"] != 0
    assert had.sum() > 12, "the last mini-batch is another one at every evaluation"
    assert method.samples["counts"].sum() == 9 * 12
    batch = next(ordered_batches(source, torch.device("cpu")))
    assert float(method.step(batch, 0).parts["strength"]) == pytest.approx(
        float(method.samples["strength"].mean())
    )
    crossed = released_variant(tiny, base="crosskd", supervisor="teacher")
    crossed.before_epoch(epoch(source))
    crossed.step(batch, 0).loss.backward()
    assert not any(p.grad.abs().sum() for p in crossed.student.parameters())


def test_as_released_each_mini_batch_is_seen_by_itself(tiny, source, monkeypatch):
    """The script's own batches, each with one set of frames; its loss is the mean of the batch."""
    method = released_variant(tiny)
    seen = watched(method, monkeypatch)
    monkeypatch.setattr(method, "_members", lambda _: torch.arange(23, -1, -1).view(6, 4))
    clips = next(ordered_batches(source, torch.device("cpu"))).clips
    method.before_epoch(epoch(source, 0))
    assert [len(batch) for batch, _ in seen] == [4] * 6
    assert torch.equal(torch.cat([batch for batch, _ in seen]), clips.flip(0))
    losses = torch.stack([method.base.weighted(found).mean() for _, found in seen]).detach()
    spread = (losses - losses.min()) / (losses.max() - losses.min())
    # At the first evaluation the strength is the difficulty, and grows with the loss.
    expected = torch.zeros(24)
    expected[:4] = spread[-1]
    torch.testing.assert_close(method.samples["strength"], expected)
    counts = method.samples["counts"].clone()
    method.before_epoch(epoch(source, 4))
    empty = torch.cat([(batch == 0).all(1).all(-1).all(-1) for batch, _ in seen[6:]]).view(6, 4, 4)
    assert (empty.sum(2) == 1).all()
    assert (empty == empty[:, :1]).all(), "one set of frames a mini-batch"
    losses = torch.stack([method.base.weighted(found).mean() for _, found in seen[6:]]).detach()
    by_sample = 1 / (counts.flip(0).view(6, 4) + 1.0)
    products = losses * by_sample.mean(1)
    spread = (products - products.min()) / (products.max() - products.min())
    strength = expected[0]
    for difficulty in spread:
        strength = 0.1 * strength + 0.9 * (1 - 0.6**0.9) * difficulty
    torch.testing.assert_close(method.samples["strength"][:4], strength.expand(4))


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
