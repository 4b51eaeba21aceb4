"""Masks of tubes, and what masked pre-trainings of both kinds promise."""

from dataclasses import replace

import pytest
import torch

from kdlib import methods, models
from kdlib.clips.batches import Batch
from kdlib.errors import UserError
from kdlib.methods.masked import nearest_visible, tubes
from kdlib.runs.datasets import Datasets
from kdlib.runs.execute import execute
from kdlib.runs.rehearsal import rehearse
from kdlib.runs.spec import DataSpec, MethodSpec, ModelSpec, RunSpec, Start
from kdlib.runs.store import RunStore
from kdlib.training.recipe import Recipe

CPU = torch.device("cpu")
VIT = {"width": 32, "blocks": 2, "patch": 8}
IMAGE, INDEX = VIT | {"image": True, "width": 48}, VIT | {"positions": "index"}
FEATURES = {"image", "video"}
CASES = {
    "pixels of clips": ("mae", VIT, (), {"mask_ratio": 0.9}),
    "pixels of images": ("mae", VIT | {"image": True}, (), {"mask_ratio": 0.75}),
    "both teachers": ("mvd", VIT, (IMAGE, INDEX), {"mask_ratio": 0.9}),
    "image teacher": ("mvd", VIT, (IMAGE,), {"mask_ratio": 0.9, "decoder_width": 16}),
    "video teacher": ("mvd", VIT, (INDEX,), {"mask_ratio": 0.5, "decoder_blocks": 1}),
    "features of images": ("mvd", VIT | {"image": True}, (IMAGE,), {"mask_ratio": 0.75}),
    "visible tokens": ("mvd", VIT, (IMAGE, INDEX), {"mask_ratio": 0.9, "places": "visible"}),
    "all tokens": ("mvd", VIT, (INDEX,), {"mask_ratio": 0.9, "places": "all"}),
}


@pytest.fixture(params=CASES)
def case(request):
    return CASES[request.param]


def make(case):
    name, student, teachers, options = case
    torch.manual_seed(0)
    built = [models.build("vit", 3, **vit) for vit in (student, *teachers)]
    return methods.build(name, built[0], built[1:], **options)


def batch(clips=4, frames=8):
    torch.manual_seed(1)
    return Batch(torch.randn(clips, 3, frames, 32, 32), None, torch.arange(clips))


def test_tubes_hide_the_same_places_at_all_times():
    torch.manual_seed(0)
    visible, masked = tubes(200, (8, 14, 14), 0.9, CPU)
    assert (visible.shape, masked.shape) == ((200, 160), (200, 1408))
    assert torch.equal(torch.cat([visible, masked], 1).sort(1).values[7], torch.arange(1568))
    for places, count in ((visible, 20), (masked, 176)):
        by_time = places.unflatten(1, (8, count))
        assert torch.equal(by_time % 196, by_time[:, :1].expand_as(by_time))
        assert torch.equal(by_time // 196, torch.arange(8)[:, None].expand_as(by_time))
        assert (by_time.diff(dim=2) > 0).all()
    # each place about as often, each clip by itself
    often = torch.bincount((masked % 196).flatten(), minlength=196) / (200 * 8)
    assert float(often.min()) > 0.8
    assert len(visible.unique(dim=0)) == 200


def test_a_seed_determines_the_mask():
    def drawn(seed):
        torch.manual_seed(seed)
        return tubes(2, (4, 4, 4), 0.5, CPU)[0].tolist()

    assert drawn(3) == drawn(3) != drawn(4)


@pytest.mark.parametrize(("ratio", "what"), [(0.05, "nothing"), (0.2, "nothing")])
def test_masks_that_hide_nothing_are_refused(ratio, what):
    with pytest.raises(UserError, match=f"method.mask_ratio: {ratio} of 2 x 2 places hides {what}"):
        tubes(1, (4, 2, 2), ratio, CPU)


def test_masks_that_hide_all_are_refused():
    with pytest.raises(UserError, match="hides nothing; another ratio, or smaller patches"):
        tubes(1, (4, 1, 1), 0.9, CPU)
    with pytest.raises(UserError, match="hides all"):
        tubes(1, (4, 2, 2), 1.0, CPU)


def test_the_nearest_visible_place_by_loop():
    grid = (2, 4, 5)
    visible, masked = tubes(3, grid, 0.7, CPU)
    found = nearest_visible(grid, visible, masked)
    for seen, hidden, near in zip(visible.tolist(), masked.tolist(), found.tolist(), strict=True):
        for place, nearest in zip(hidden, near, strict=True):
            assert nearest in seen
            assert nearest // 20 == place // 20

            def distance(other, place=place):
                rows, columns = other % 20 // 5 - place % 20 // 5, other % 5 - place % 5
                return rows**2 + columns**2

            in_plane = [other for other in seen if other // 20 == place // 20]
            assert distance(nearest) == min(map(distance, in_plane))


def test_the_backbone_and_what_is_its_own_learn_and_not_head_and_teachers(case):
    method = make(case)
    output = method.step(batch(), 0)
    output.loss.backward()
    learnt = {key for key, p in method.named_parameters() if p.grad is not None and p.grad.any()}
    assert {key.split(".")[0] for key in learnt} == {"student", "norm", "decoders"}
    all_of_it = {f"student.backbone.{k}" for k, _ in method.student.backbone.named_parameters()}
    assert {key for key in learnt if key.startswith("student.")} == all_of_it
    assert {key.split(".")[0] for key in method.own_state()} == {"norm", "decoders"}
    assert not method.teachers.training
    kinds = {"image" if vit.get("image") else "video" for vit in case[2]} or {"pixels"}
    assert set(output.parts) == kinds
    torch.testing.assert_close(output.loss.detach(), sum(output.parts.values()))


def test_it_asks_for_no_label_and_predicts_nothing(case):
    assert make(case).predict(batch()) is None


def test_all_it_makes_is_made_on_the_device_of_the_clips(case):
    method = make(case).to("meta")
    there = Batch(batch().clips.to("meta"), None, torch.arange(4))
    assert method.step(there, 0).loss.device.type == "meta"


def test_equal_seeds_give_equal_losses_and_others_do_not(case):
    method, shown = make(case).eval(), batch()

    def loss(seed):
        torch.manual_seed(seed)
        return float(method.step(shown, 0).loss.detach())

    assert loss(1) == loss(1)
    assert (loss(1) == loss(2)) is (case[3].get("places") == "all")


def test_half_precision_changes_the_loss_by_little(case):
    method, shown = make(case).eval(), batch()
    losses = []
    for enabled in (False, True):
        torch.manual_seed(1)
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            losses.append(method.step(shown, 0).loss)
    assert losses[1].dtype == torch.float32
    torch.testing.assert_close(losses[1], losses[0], rtol=0.02, atol=0)
    assert losses[0] != losses[1]
    losses[1].backward()


def test_what_is_hidden_is_not_seen(case):
    """The encoder's part in a prediction is the same whatever lies under the mask."""
    method, clips = make(case).eval(), batch().clips
    if case[3].get("places") == "all":
        pytest.skip("nothing is hidden")
    clips = method.sequences(clips)
    torch.manual_seed(5)
    before, places = method.predicted(clips)
    visible = places
    if case[3].get("places") != "visible":
        torch.manual_seed(5)
        visible, _ = method.draw(clips)
    grid = method.student.backbone.grid(clips)
    shown = torch.zeros(len(clips), grid[1] * grid[2], dtype=torch.bool)
    shown.scatter_(1, visible % shown.shape[1], True)
    pixels = shown.unflatten(1, grid[1:]).repeat_interleave(8, 1).repeat_interleave(8, 2)
    changed = torch.where(pixels[:, None, None], clips, torch.randn_like(clips))
    torch.manual_seed(5)
    after, _ = method.predicted(changed)
    for name, value in before.items():
        torch.testing.assert_close(after[name], value)
    torch.manual_seed(5)
    other, _ = method.predicted(torch.where(pixels[:, None, None], torch.randn_like(clips), clips))
    assert not any(torch.allclose(other[name], value) for name, value in before.items())


def data_of(**fields):
    base = DataSpec("generated/texmot12", train=8, validation=4, frames=8, size=32,
                    sampling="dense", labels=False)  # fmt: skip
    return replace(base, **fields)


def spec_of(case, **fields):
    name, student, teachers, options = case
    recipe = Recipe(epochs=2, learning_rate=1e-3, batch_size=4)
    data = data_of(**fields)
    made = tuple(
        RunSpec(data, ModelSpec("vit", vit), recipe, MethodSpec("mae", options={"mask_ratio": 0.5}))
        for vit in teachers
    )
    return RunSpec(data, ModelSpec("vit", student), recipe, MethodSpec(name, made, options))


@pytest.mark.slow
def test_it_rehearses_with_and_without_memory(case):
    small = rehearse(spec_of(case))
    assert small.step.macs > small.evaluation.macs > 0
    large = rehearse(spec_of(case, size=1024))  # more than is computed: shapes alone
    assert large.step.macs > 500 * small.step.macs


def test_the_mask_decides_what_a_step_costs():
    costs = [
        rehearse(spec_of(("mae", VIT, (), {"mask_ratio": ratio}))).step.macs
        for ratio in (0.9, 0.75, 0.25)
    ]
    assert costs == sorted(set(costs))
    with pytest.raises(UserError, match="its option 'mask_ratio' is missing"):
        rehearse(spec_of(("mae", VIT, (), {})))


@pytest.mark.parametrize(
    ("case", "fields", "words"),
    [
        (CASES["both teachers"], {"frames": 7}, "data.frames: a multiple of the tubelet, 2"),
        (CASES["both teachers"], {"size": 36}, "data.size: a multiple of the patch, 8"),
        (("mae", VIT, (), {"mask_ratio": 0.1}), {"size": 16}, "hides nothing"),
        (("mae", VIT, (), {"mask_ratio": 1.5}), {}, "mae.mask_ratio: 1.5"),
        (("mae", VIT, (), {"mask_ratio": 0.5, "decoder_width": 24}), {}, "decoder_width: 24"),
        (("mae", VIT | {"heads": 1}, (), {"mask_ratio": 0.5, "decoder_width": 16}), {},
         "method.decoder_width: a multiple of 32"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_before_anything_trains(case, fields, words):
    with pytest.raises(UserError, match=words):
        rehearse(spec_of(case, **fields))


@pytest.mark.parametrize("name", ["both teachers", "pixels of images"])
def test_runs_are_judged_by_validation_loss_repeat_and_are_started_from(name, tmp_path):
    spec, store = spec_of(CASES[name]), RunStore(tmp_path / "store")
    datasets = Datasets(tmp_path / "cache")
    videos = datasets.load(spec.data)
    teachers = [
        execute(teacher, f"teacher{number}", store, videos, [])
        for number, teacher in enumerate(spec.method.teachers)
    ]
    one, two = (execute(spec, key, store, videos, teachers) for key in ("one", "two"))
    assert set(one.result["last"]) == {"validation_loss"}
    for file in ("student.safetensors", "own.safetensors"):
        assert (one.path / file).read_bytes() == (two.path / file).read_bytes()
    assert {key.split(".")[0] for key in one.method(teachers).own_state()} == {"norm", "decoders"}
    tuned = replace(
        spec,
        data=replace(spec.data, labels=True, test=4),
        model=ModelSpec("vit", VIT),  # of clips, whatever was pre-trained
        method=MethodSpec(),
        start=Start(spec, "backbone"),
    )
    rehearse(tuned)
    after = execute(tuned, "tuned", store, datasets.load(tuned.data), [one])
    assert 0 <= after.result["last"]["score"] <= 1


def test_a_student_starts_from_either_teacher():
    spec = spec_of(CASES["both teachers"])
    image = replace(spec.method.teachers[0], model=ModelSpec("vit", VIT | {"image": True}))
    video = spec.method.teachers[1]
    rehearse(replace(spec, start=Start(image, "backbone")))
    rehearse(replace(spec, start=Start(video, "backbone")))
    with pytest.raises(UserError, match="start: it is a vit with other options"):
        rehearse(replace(spec, start=Start(spec.method.teachers[0], "backbone")))  # 48 wide
