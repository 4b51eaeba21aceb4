"""Masked features: the loss by a second way, and what each teacher sees."""

import pytest
import torch
from torch.nn import functional as F

from kdlib import methods, models
from kdlib.clips.batches import Batch
from kdlib.clips.pixels import resize
from kdlib.errors import UserError
from kdlib.methods.base import Epoch
from kdlib.methods.mvd import MaskedVideoDistillation
from kdlib.runs.rehearsal import rehearse
from kdlib.runs.spec import DataSpec, MethodSpec, ModelSpec, RunSpec
from kdlib.training.recipe import Recipe

VIT = {"width": 32, "blocks": 2, "patch": 8}


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def vit(**options):
    return models.build("vit", 3, **VIT | options)


def make(*teachers, student=None, mask_ratio=0.75, **options):
    return methods.build("mvd", student or vit(), teachers, mask_ratio=mask_ratio, **options)


def batch(frames=8):
    return Batch(torch.randn(3, 3, frames, 32, 32), None, torch.arange(3))


def steps(method, shown, seed=7):
    """A step, and the visible and masked places that it drew."""
    torch.manual_seed(seed)
    output = method.step(shown, 0)
    torch.manual_seed(seed)
    return output, *method.draw(shown.clips)


def test_the_loss_by_the_released_code_s_masks():
    """With a mask of truth values (B, N), and targets of all places picked by it."""
    image, video = vit(image=True, width=48), vit(positions="index")
    method = make(image, video, image_weight=2.0, video_weight=0.5).eval()
    shown = batch()
    output, visible, masked = steps(method, shown)
    hidden = torch.zeros(3, 64, dtype=torch.bool).scatter_(1, masked, True)
    encoder = method.student.backbone
    tokens = method.norm(encoder.tokens(shown.clips, visible))
    frames = shown.clips[:, :, ::2].transpose(1, 2).flatten(0, 1)[:, :, None]
    of_frames = image.features(frames).flatten(2).mT  # (B T', h w, D)
    targets = {
        "image": of_frames.reshape(3, 64, 48)[hidden].reshape(3, -1, 48),
        "video": video.features(shown.clips).flatten(2).mT[hidden].reshape(3, -1, 32),
    }
    places = encoder.places(shown.clips, 32).expand(3, -1, -1)
    losses = {}
    for name, decoder in method.decoders.items():
        seen = decoder.down(tokens) + places[~hidden].reshape(3, -1, 32)
        asked = decoder.mask_token + places[hidden].reshape(3, -1, 32)
        mixed = decoder.blocks(torch.cat([seen, asked], 1))
        answer = decoder.head(decoder.norm(mixed[:, -masked.shape[1] :]))
        losses[name] = F.smooth_l1_loss(answer, targets[name])
    for name, loss in losses.items():
        torch.testing.assert_close(output.parts[name], loss.detach())
    torch.testing.assert_close(output.loss, 2 * losses["image"] + 0.5 * losses["video"])


@pytest.mark.parametrize("places", ["visible", "all"])
def test_token_by_token_by_a_second_way(places):
    teacher = vit()
    method, shown = make(teacher, places=places).eval(), batch()
    output, visible, _ = steps(method, shown)
    if places == "all":
        visible = torch.arange(64).expand(3, -1)
    tokens = method.norm(method.student.backbone.tokens(shown.clips, visible))
    answer = tokens @ method.decoders["video"].weight.T + method.decoders["video"].bias
    taught = teacher.features(shown.clips).flatten(2).mT[torch.arange(3)[:, None], visible]
    torch.testing.assert_close(output.loss, F.smooth_l1_loss(answer, taught))


@pytest.mark.parametrize("tubelet", [2, 4])
def test_the_image_teacher_sees_the_first_frame_of_each_tubelet(tubelet):
    teacher, student = vit(image=True), vit(tubelet=tubelet)
    method, shown = make(teacher, student=student).eval(), batch()
    found = method.targets(shown.clips)["image"]
    assert found.shape == (3, 8 // tubelet * 16, 32)
    expected = [
        teacher.features(shown.clips[:, :, t : t + 1]).flatten(2).mT for t in range(0, 8, tubelet)
    ]
    torch.testing.assert_close(found, torch.cat(expected, 1))
    unseen = shown.clips.clone()
    unseen[:, :, 1::tubelet] = 9.0
    torch.testing.assert_close(method.targets(unseen)["image"], found)


def test_targets_are_of_the_whole_clip_and_have_no_norm_behind_them():
    teacher = vit()
    method, shown = make(teacher).eval(), batch()
    found = method.targets(shown.clips)["video"]
    torch.testing.assert_close(found, teacher.features(shown.clips).flatten(2).mT)
    assert not found.requires_grad
    assert float(found.mean(2).abs().max()) > 0.05  # a LayerNorm would have made it 0


def test_a_longer_tubelet_teaches_all_tokens_of_its_frames():
    teacher = vit(tubelet=4)
    method, shown = make(teacher).eval(), batch()
    found = method.targets(shown.clips)["video"].unflatten(1, (4, 4, 4))
    maps = teacher.features(shown.clips).movedim(1, -1)
    for time in range(4):
        torch.testing.assert_close(found[:, time], maps[:, time // 2])


def test_a_teacher_of_other_patches_sees_the_clip_resized():
    teacher = vit(patch=7, image=True)
    method, shown = make(teacher).eval(), batch()
    small = resize(shown.clips[:, :, ::2], 28)
    expected = teacher.features(small).flatten(2).mT
    torch.testing.assert_close(method.targets(shown.clips)["image"], expected)


def test_a_shorter_tubelet_of_the_teacher_is_refused():
    method = make(vit(), student=vit(tubelet=4))
    with pytest.raises(UserError, match="the video teacher has tokens at 4 times and the student"):
        method.step(batch(), 0)


def test_an_image_student_takes_no_video_teacher():
    with pytest.raises(UserError, match=r"method\.teachers: an image teacher alone"):
        make(vit(), student=vit(image=True))


@pytest.mark.parametrize(
    ("kinds", "words"),
    [((), "got none"), ((0, 0), "got video, video"), ((1, 0, 1), "got image, video, image")],
)
def test_other_numbers_of_teachers_are_refused(kinds, words):
    with pytest.raises(UserError, match=f"method.teachers: an image teacher.*{words}"):
        make(*(vit(image=bool(kind)) for kind in kinds))


def test_other_models_are_refused(tiny):
    with pytest.raises(UserError, match="the teacher must be a model named vit"):
        make(tiny())
    with pytest.raises(UserError, match="the student must be a model named vit"):
        make(vit(), student=tiny())


def test_a_weight_of_zero_leaves_the_other_teacher_alone():
    torch.manual_seed(0)
    method = make(vit(image=True), vit(), image_weight=0.0).eval()
    output, *_ = steps(method, batch())
    torch.testing.assert_close(output.loss.detach(), output.parts["video"])
    assert output.parts["image"] > 0


def test_training_beats_the_mean_of_a_teacher_s_features():
    method, shown = make(vit(), student=vit(), mask_ratio=0.5), batch()
    optimizer = torch.optim.AdamW([p for p in method.parameters() if p.requires_grad], 3e-3)
    for _ in range(60):
        optimizer.zero_grad()
        method.step(shown, 0).loss.backward()
        optimizer.step()
    found = method.eval().controls(shown)["video"]
    assert found["prediction"] < found["mean"]
    assert found["prediction"] < found["neighbour"]


# Targets that are kept


class Source:
    """Two videos; an epoch's batches, and how often the teachers were asked."""

    def __init__(self, monkeypatch):
        torch.manual_seed(1)
        self.clips, self.asked = torch.randn(4, 3, 8, 32, 32), 0
        taught = MaskedVideoDistillation._taught

        def counted(method, teacher, clips):
            self.asked += 1
            return taught(method, teacher, clips)

        monkeypatch.setattr(MaskedVideoDistillation, "_taught", counted)

    def batch(self, *indices, fixed=True):
        indices = torch.tensor(indices)
        return Batch(self.clips[indices], None, indices, fixed=fixed)

    def epoch(self, number=0):
        return Epoch(number, 2, 4, lambda: iter([self.batch(0, 1, 2), self.batch(3)]))


@pytest.mark.parametrize("image_student", [False, True])
def test_kept_targets_are_those_of_every_step_and_teachers_are_asked_once(
    image_student, monkeypatch
):
    source = Source(monkeypatch)
    teachers = [vit(image=True, width=48)] if image_student else [vit(image=True), vit()]
    student = vit(image=image_student)
    kept = make(*teachers, student=student, keep_targets=True)
    plain = make(*teachers, student=student)
    plain.load_own_state(kept.own_state())
    kept.before_epoch(source.epoch())
    asked = source.asked
    for number, indices in enumerate(((3, 0), (1, 3), (2, 2))):
        batch = source.batch(*indices)
        torch.manual_seed(number)
        found = kept.step(batch, 0)
        assert source.asked == asked
        torch.manual_seed(number)
        wanted = plain.step(batch, 0)
        torch.testing.assert_close(found.loss, wanted.loss)
        asked = source.asked
    kept.before_epoch(source.epoch(1))
    assert source.asked == asked


def test_targets_are_never_kept_where_clips_change(monkeypatch):
    source = Source(monkeypatch)
    method = make(vit(), keep_targets=True)
    method.before_epoch(source.epoch())
    with pytest.raises(UserError, match=r"method\.keep_targets: false, as clips are not the same"):
        method.step(source.batch(0, 1, fixed=False), 0)
    source.asked = 0
    method.eval().step(source.batch(0, 1, fixed=False), 0)  # clips of another split
    assert source.asked == 1
    plain = make(vit())
    plain.before_epoch(source.epoch())
    plain.step(source.batch(0, 1), 0)
    plain.step(source.batch(0, 1), 0)
    assert source.asked == 3


@pytest.mark.parametrize(
    ("data", "fits"),
    [({"crop": "none"}, True), ({}, False), ({"crop": "none", "length": 16}, False)],
)
def test_kept_targets_of_changing_clips_are_refused_before_anything_trains(data, fits):
    clips = DataSpec("generated/mix12", train=8, labels=False, **data)
    model = ModelSpec("vit", {"width": 16, "blocks": 1, "heads": 1, "patch": 8})
    recipe = Recipe(epochs=1, learning_rate=1e-3, batch_size=8)
    teacher = RunSpec(clips, model, recipe, MethodSpec("mae", (), {"mask_ratio": 0.75}))
    options = {"mask_ratio": 0.75, "keep_targets": True}
    spec = RunSpec(clips, model, recipe, MethodSpec("mvd", (teacher,), options))
    if fits:
        rehearse(spec)
    else:
        with pytest.raises(UserError, match=r"method\.keep_targets"):
            rehearse(spec)


@pytest.mark.slow
def test_a_training_with_kept_targets_is_the_same_training(trained):
    clips = DataSpec("generated/mix12", train=16, labels=False, crop="none", size=16)
    model = ModelSpec("vit", {"width": 16, "blocks": 1, "heads": 1, "patch": 8})
    recipe = Recipe(epochs=2, learning_rate=1e-3, batch_size=8)
    teacher = RunSpec(clips, model, recipe, MethodSpec("mae", (), {"mask_ratio": 0.75}))
    kept, plain = (
        RunSpec(
            clips,
            model,
            recipe,
            MethodSpec("mvd", (teacher,), {"mask_ratio": 0.75, "keep_targets": keep}),
        )
        for keep in (True, False)
    )
    one, other = (record.student().state_dict() for record in trained(kept, plain))
    for name, weights in one.items():
        torch.testing.assert_close(weights, other[name], rtol=1e-4, atol=1e-5)
