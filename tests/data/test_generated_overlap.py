"""Classes that overlap, labels that are drawn: bytes as before without, a true posterior with."""

import zlib

import numpy as np
import pytest
import torch
from scipy import stats

from kdlib.data import generated
from kdlib.data.generated import SPLITS, TASKS, GeneratedSpec, class_names, render, videos
from kdlib.data.generated.overlap import blended
from kdlib.data.generated.spec import OVERLAPPING

torch.set_num_threads(1)
ONE_LABEL = [task for task in TASKS if task != "actors"]
# Of 24 training clips of 16 pixels and their labels in both domains, of crisp classes: of those
# that can overlap, before they could.
CRISP = {
    "colour12": 0xFDD8E654,
    "colmot12": 0x869231E7,
    "detail12": 0x6625D7B2,
    "motion12": 0x206AFE40,
    "texmot12": 0x35419534,
    "order": 0x13C86533,
    "rate": 0x6E8E7FF0,
    "mix12": 0x9A282CD3,
    "actors": 0x43F7224E,
    "image": 0x070EA5BA,
}


def spec_of(task: str, overlap: float = 1.0, label_noise: float = 0.0, **changes) -> GeneratedSpec:
    return GeneratedSpec(task, 5, overlap=overlap, label_noise=label_noise, **changes)


def mixture(shown):
    """Class, neighbour and blend of clips, read from posteriors without label noise."""
    posterior, clips = shown.factors["posterior"].copy(), np.arange(len(shown.labels))
    posterior[clips, shown.factors["class"]] = 0
    return shown.factors["class"], posterior.argmax(1), posterior.max(1)


@pytest.mark.parametrize("task", TASKS)
def test_crisp_clips_are_as_they_were(task):
    crc = 0
    for domain in ("source", "shifted"):
        spec = spec_of(task, 0.0, size=16, domain=domain)
        shown = render(spec, "train", np.arange(24))
        crc = zlib.crc32(shown.clips.numpy().tobytes(), crc)
        crc = zlib.crc32(shown.labels.numpy().tobytes(), crc)
    assert crc == CRISP[task]


@pytest.mark.parametrize("task", ONE_LABEL)
def test_the_posterior_is_of_the_class_and_of_all_classes_alike(task):
    noise, count = 0.3, len(class_names(task))
    for split in SPLITS:
        spec = spec_of(task, 0.0, noise, size=8)
        shown = render(spec, split, np.arange(3 * count))
        label, posterior = shown.factors["class"], shown.factors["posterior"]
        assert posterior.dtype == np.float32
        assert posterior.shape == (3 * count, count)
        np.testing.assert_array_equal(label, np.tile(np.arange(count), 3))
        np.testing.assert_allclose(posterior.sum(1), 1, rtol=1e-6)
        expected = 0.7 * np.eye(count)[label] + 0.3 / count
        np.testing.assert_allclose(posterior, expected, rtol=1e-6)
    assert "posterior" not in render(GeneratedSpec("actors", 5, size=8), "train", [0, 1]).factors


@pytest.mark.parametrize("task", OVERLAPPING)
@pytest.mark.parametrize("overlap", [0.4, 1.0])
def test_a_neighbour_has_its_share_of_the_posterior(task, overlap):
    shown = render(spec_of(task, overlap, size=8), "train", np.arange(1500))
    posterior = shown.factors["posterior"]
    label, neighbour, blend = mixture(shown)
    np.testing.assert_allclose(posterior.sum(1), 1, rtol=1e-6)
    assert ((posterior > 0).sum(1) == 2).all()
    assert (posterior.argmax(1) == label).all()
    assert stats.kstest(blend, stats.uniform(0, overlap / 2).cdf).pvalue > 0.01
    if task == "image":
        assert (neighbour // 4 == label // 4).all()
    if task == "mix12":
        assert (neighbour // 3 == label // 3).all()
        stripes = label // 3 == 1  # fine and coarse are no neighbours: medium is their middle
        assert (abs(neighbour - label)[stripes] == 1).all()
    if task == "texmot12":
        assert ((neighbour // 3 == label // 3) ^ (neighbour % 3 == label % 3)).all()
    pairs = {"image": 20 * 3, "mix12": 3 * 6 + 4, "texmot12": 12 * 5}
    assert len(set(zip(label.tolist(), neighbour.tolist(), strict=True))) == pairs[task]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("task", "overlap", "noise"),
    [("mix12", 1.0, 0.0), ("texmot12", 0.8, 0.2), ("image", 1.0, 0.1), ("motion12", 0.0, 0.4)],
)
@pytest.mark.parametrize("split", ["train", "pool"])
def test_labels_are_draws_of_the_posterior(task, overlap, noise, split):
    shown = render(spec_of(task, overlap, noise, size=8), split, np.arange(6000))
    posterior, labels = shown.factors["posterior"].astype(np.float64), shown.labels.numpy()
    # Each of K labels of each clip comes as often as its probability says, bin by bin of it.
    came = np.eye(posterior.shape[1])[labels].ravel()
    said = posterior.ravel()
    bins = np.unique(np.quantile(said[said > 0], np.linspace(0, 1, 40)).round(6))
    of_bin = np.digitize(said.round(6), bins)
    assert came[said == 0].sum() == 0
    for b in np.unique(of_bin[said > 0]):
        own = (of_bin == b) & (said > 0)
        sd = np.sqrt((said[own] * (1 - said[own])).sum())
        assert abs(came[own].sum() - said[own].sum()) < 4 * sd + 1e-9
    # As a whole: the mean score of the label drawn is what the posterior expects of it.
    square = (posterior**2).sum(1)
    spread = np.sqrt(((posterior**3).sum(1) - square**2).sum())
    score = posterior[np.arange(len(labels)), labels]
    assert abs((score - square).sum()) < 4 * spread


@pytest.mark.parametrize("split", ["validation", "test"])
def test_labels_of_other_splits_are_the_most_probable_class(split):
    shown = render(spec_of("mix12", 1.0, 0.5, size=8), split, np.arange(240))
    np.testing.assert_array_equal(shown.labels, np.arange(240) % 12)
    np.testing.assert_array_equal(shown.factors["posterior"].argmax(1), shown.labels)


def test_a_clip_keeps_its_label_in_a_larger_set_and_its_pixels_under_noise():
    few, many = (videos(spec_of("mix12", 0.6, 0.2, size=8), "train", n) for n in (300, 1200))
    np.testing.assert_array_equal(few.labels, many.labels[:300])
    np.testing.assert_array_equal(few.factors["posterior"], many.factors["posterior"][:300])
    np.testing.assert_array_equal(few.frames, many.frames[: len(few.frames)])
    quiet = videos(spec_of("mix12", 0.6, size=8), "train", 300)
    np.testing.assert_array_equal(quiet.frames, few.frames)
    changed = quiet.labels != few.labels
    assert 0.1 < changed.mean() < 0.26  # 0.2 * 11 / 12
    # More noise changes further labels, and none back.
    noisier = videos(spec_of("mix12", 0.6, 0.5, size=8), "train", 300).labels
    np.testing.assert_array_equal(noisier[changed], few.labels[changed])


@pytest.mark.parametrize("task", OVERLAPPING)
@pytest.mark.parametrize("domain", ["source", "shifted"])
def test_bytes_depend_on_the_index_alone(task, domain):
    spec = spec_of(task, 1.0, 0.2, size=20, domain=domain)
    whole = render(spec, "train", np.arange(37), truth=True)
    order = np.random.default_rng(0).permutation(37)
    shuffled = render(spec, "train", order, truth=True)
    for name in ("clips", "flow", "labels", "boxes", "groups"):
        assert torch.equal(getattr(shuffled, name), getattr(whole, name)[order])
    for i in (0, 5, 36):
        alone = render(spec, "train", [i])
        assert torch.equal(alone.clips[0], whole.clips[i])
        for name, value in alone.factors.items():
            np.testing.assert_array_equal(value[0], whole.factors[name][i], err_msg=name)


def classes_shown(monkeypatch, task, label, overlap=0.0):
    quiet = {"noise": 0, "distractor": 0, "occlusion": 0}
    monkeypatch.setattr(generated, "labels_of", lambda task, index, draws: label[index])
    return render(spec_of(task, overlap, **quiet), "test", np.arange(len(label)), truth=True)


@pytest.mark.parametrize("task", OVERLAPPING)
def test_a_blended_clip_lies_between_its_two_classes(task, monkeypatch):
    label = np.arange(120) % len(class_names(task))
    shown = classes_shown(monkeypatch, task, label, 1.0)
    _, neighbour, blend = mixture(shown)
    own = classes_shown(monkeypatch, task, label)
    other = classes_shown(monkeypatch, task, neighbour)

    def apart(one, another):
        return (one.clips.float() - another.clips.float()).abs().mean((1, 2, 3, 4)).numpy()

    whole, from_own, from_other = apart(own, other), apart(shown, own), apart(shown, other)
    assert (from_own[blend > 0.1] > 0).all()
    # The further blended, the further from its own class and the nearer to its neighbour.
    assert stats.spearmanr(blend, from_own / whole).statistic > 0.6
    assert stats.spearmanr(blend, from_other / whole).statistic < -0.5
    assert (from_own < from_other)[blend < 0.4].mean() > 0.95
    half = blend > 0.42
    assert half.sum() > 5
    assert abs(from_own[half] / from_other[half] - 1).mean() < 0.35
    for name in ("centre", "radius", "angle"):
        a, b, between = (r.factors[name] for r in (own, other, shown))
        w = blend.reshape(-1, *[1] * (a.ndim - 1))
        np.testing.assert_allclose(between, (1 - w) * a + w * b, rtol=1e-5, atol=1e-5)


def test_textures_blend_linearly_in_the_pixels(monkeypatch):
    """Squares of mix12 of one domain by day: an image is linear in the weights of its texture."""
    label = np.full(40, 6)
    shown = classes_shown(monkeypatch, "mix12", label, 1.0)
    _, neighbour, blend = mixture(shown)
    own = classes_shown(monkeypatch, "mix12", label).clips.float()
    other = classes_shown(monkeypatch, "mix12", neighbour).clips.float()
    w = torch.from_numpy(blend).view(-1, 1, 1, 1, 1)
    expected = (1 - w) * own + w * other
    inside = (own > 0) & (own < 255) & (other > 0) & (other < 255)  # what was not cut off
    assert (shown.clips - expected)[inside].abs().max() < 1.01
    assert (own - other).abs().max() > 30


def test_stripes_between_fine_and_medium_have_the_geometric_mean_of_their_periods():
    objects = []
    for label in (3, 4):
        spec = spec_of("mix12", 0.0)
        draws, place = generated.latents.clip_draws(spec, "train", np.arange(4))
        scene = generated.latents.scene_of(spec, np.full(4, label), draws, place)
        objects.append(generated._shown(spec, np.full(4, label), scene, draws)[1])
    own, other = objects
    half = blended(own, other, np.full(4, 0.5))
    np.testing.assert_allclose(half.wave[..., 1] ** 2, own.wave[..., 1] * other.wave[..., 1])
    assert (own.wave[:, 0, 1] > 1.5 * other.wave[:, 0, 1]).all()
    for name, value in vars(blended(own, other, np.zeros(4))).items():
        np.testing.assert_allclose(value, getattr(own, name), rtol=1e-15)
