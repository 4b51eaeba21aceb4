"""What cannot run is refused by name before anything trains; what can is counted."""

from dataclasses import replace

import pytest
import torch

from kdlib.errors import UserError
from kdlib.methods.supervised import Supervised
from kdlib.models.cost import cost
from kdlib.runs.rehearsal import Load, rehearse
from kdlib.runs.spec import DataSpec, MethodSpec, ModelSpec, Start


def with_data(spec, **fields):
    return replace(spec, data=replace(spec.data, **fields))


def test_a_step_is_three_times_a_forward_pass_and_the_teachers_one(make_spec):
    teacher = make_spec(width=8)
    work = rehearse(make_spec(teacher=teacher, target="pixel"))
    student = cost("tsn", 12, (3, 2, 8, 8), width=4)["gmacs"] * 1e9
    taught = cost("tsn", 12, (3, 2, 16, 16), width=8)["gmacs"] * 1e9
    assert work.evaluation.macs == student
    # The first layer has no gradient to hand on; the pixel logits come on top.
    assert 2.6 * student + taught < work.step.macs < 3.2 * student + 1.2 * taught
    assert (work.trained, work.looked, work.look) == (1.0, 0.0, Load())


def test_the_backward_pass_of_what_is_frozen_is_not_counted(make_spec):
    spec = make_spec()
    probe = replace(spec, recipe=replace(spec.recipe, freeze=("backbone",)))
    assert rehearse(probe).step.macs < 0.5 * rehearse(spec).step.macs


def test_dualkd_s_pass_through_the_student_of_the_epoch_before_is_found(make_spec):
    """In a network beside which the transport's own products are few."""
    spec = make_spec(width=32)
    kd, dual = (
        rehearse(replace(spec, method=MethodSpec(name, (spec,)))) for name in ("kd", "dualkd")
    )
    assert dual.step.macs - kd.step.macs == pytest.approx(kd.evaluation.macs, rel=0.05)


def test_sakd_looks_at_all_clips_and_trains_on_some(make_spec):
    method = MethodSpec(
        "adaptive", (make_spec(),), {"ratio": 0.25, "interval": 5}, base=MethodSpec("kd")
    )
    work = rehearse(replace(make_spec(), method=method))
    kd = rehearse(replace(make_spec(), method=MethodSpec("kd", (make_spec(),))))
    assert (work.trained, work.looked) == (0.25, 0.2)
    assert work.step.macs == kd.step.macs
    assert work.look.macs == 2 * work.evaluation.macs


def kd(teacher, **options):
    return MethodSpec("kd", (teacher,), options)


ACTORS = DataSpec("generated/actors", train=8, test=8, frames=2, size=16)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: replace(s, method=kd(with_data(s, name="generated/rate"))),
         "the student has 12 classes and the teacher 4"),
        (lambda s: replace(s, method=MethodSpec(
            "resolution", (replace(s, model=ModelSpec("tsn", {"width": 8})),), {"resolution": 8})),
         "the student has 16 channels and the teacher 32"),
        (lambda s: replace(s, method=MethodSpec(
            "crosskd", (replace(s, model=ModelSpec("tsn", {"width": 8})),))),
         "the student has 16 channels and the teacher 32"),
        (lambda s: replace(s, data=replace(ACTORS, task="classification")),
         "data.task: the labels of generated/actors are for detection, not classification"),
        (lambda s: replace(s, data=ACTORS), "data.known: the task detection needs 'boxes'"),
        (lambda s: with_data(s, task="multi_label"), "are for classification, not multi_label"),
        (lambda s: with_data(s, task="flow"), "data.known: the task flow needs 'flow'"),
        (lambda s: with_data(s, domain="shiftde"), "data.domain: .*Did you mean 'shifted'"),
        (lambda s: with_data(s, task="flwo"), "are for classification, not flwo"),
        (lambda s: with_data(s, name="cifar100", known=("flow",)), "cifar100 knows no flow"),
        (lambda s: with_data(s, name="jhmdb21", known=("boxes",)), "jhmdb21 knows no boxes"),
        (lambda s: with_data(s, name="jhmdb21", known=("flow",)), "data.sampling: flow is known"),
        (lambda s: with_data(s, known=("flow",), frames=1), "data.frames: flow is between frames"),
        (
            lambda s: with_data(s, known=("flow",), sampling="dense", stride=2),
            "data.sampling: flow is known",
        ),
        (lambda s: with_data(s, known=("flow",), length=64), "data.sampling: flow is known"),
        (lambda s: replace(s, data=replace(ACTORS, known=("boxes", "posterior"))),
         "generated/actors knows no posterior"),
        (lambda s: replace(s, method=MethodSpec("oracle")), 'the oracle needs the "posterior"'),
        (lambda s: with_data(s, labels=False), "data.labels: withheld"),
        (lambda s: with_data(s, test=0), "data.test: this method is judged on test clips"),
        (lambda s: replace(s, method=kd(s, temperature="hot")), "method kd.temperature: 'hot'"),
        (lambda s: replace(s, method=MethodSpec(options={"resolution": -3})),
         "method supervised.resolution: -3"),
        (lambda s: replace(s, method=MethodSpec(
            "resolution", (s,), {"resolution": 8, "target": "banana"})),
         "method resolution.target: unknown value 'banana'"),
        (lambda s: replace(s, method=MethodSpec("resolution", (s,))),
         "method resolution: its option 'resolution' is missing"),
        (lambda s: replace(s, method=MethodSpec("resolution", (s, s), {"resolution": 8})),
         "method.teachers: it takes one, got 2"),
        (lambda s: replace(s, method=MethodSpec("kd")), "method.teachers: it takes one, got 0"),
        (lambda s: replace(s, method=MethodSpec("supervised", (s,))), "supervised takes none"),
        (lambda s: replace(s, method=MethodSpec("adaptive", (s,))), "method.base: adaptive goes"),
        (lambda s: replace(s, method=MethodSpec("kd", (s,), base=MethodSpec("kd"))),
         "method.base: kd goes around no other method"),
        (lambda s: replace(s, method=MethodSpec("adaptive", (), base=MethodSpec("supervised"))),
         "around a base distillation such as kd"),
        (lambda s: replace(s, model=ModelSpec("tsn", {"widht": 4})), "Did you mean 'width'"),
        (lambda s: replace(s, start=Start(replace(s, model=ModelSpec("tsn", {"width": 8})))),
         "start: it is a tsn with other options"),
        (lambda s: replace(
            s, start=Start(replace(s, model=ModelSpec("tsn", {"width": 8})), "backbone")),
         "start: it is a tsn with other options"),
        (lambda s: replace(s, start=Start(
            replace(s, model=ModelSpec("c3d", {"width": 4})), "backbone")),
         "start: it is a c3d with other options"),
        (lambda s: replace(s, start=Start(with_data(s, name="generated/rate"))),
         'take over the "backbone" alone'),
        (lambda s: replace(s, method=MethodSpec("kdd", (s,))), "Did you mean 'kd'"),
    ],
)  # fmt: skip
def test_what_cannot_run_is_refused_by_name(make_spec, planned, change, message):
    with pytest.raises(UserError, match=message) as error:
        rehearse(change(make_spec()))
    assert "\n" not in str(error.value)


def test_the_plan_refuses_before_anything_trains(planned, make_spec):
    spec = replace(make_spec(), method=kd(make_spec(), temperature="hot"))
    with pytest.raises(UserError, match=r"kd temperature=hot, tsn 16 px, seed 0: method kd\.temp"):
        planned(spec)


@pytest.mark.parametrize("name", ["generated/nothing", "kinetics-400", "detail12"])
def test_sets_that_no_manifest_has_are_refused_when_a_spec_is_made(name):
    with pytest.raises(UserError, match=r"data\.name: unknown value"):
        DataSpec(name, train=1)


def test_true_size_is_rehearsed_without_memory():
    """A ResNet-152 teacher of 224 pixels, and its student of 112."""
    from book.resolution.recipes import published

    work = rehearse(published()["ResNet student"])
    assert 8.5e9 < work.evaluation.macs < 8.7e9
    assert work.step.macs > 8 * 11e9


class Needy(Supervised):
    """An option that is a fraction and must be given."""

    share: float


def test_a_fraction_that_must_be_given_is_kept(make_spec):
    method = MethodSpec("tests.runs.test_rehearsal:Needy", options={"share": 0.5})
    work = rehearse(replace(make_spec(), method=method))
    assert work.step == rehearse(make_spec()).step


def test_random_numbers_go_on_as_if_nobody_had_rehearsed(make_spec):
    torch.manual_seed(0)
    expected = torch.rand(2)
    torch.manual_seed(0)
    rehearse(make_spec(width=6, seed=17))
    assert torch.equal(torch.rand(2), expected)
