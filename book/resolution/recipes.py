"""The published recipes of ResKD (appendix A.2; what it leaves out, from the released configs).

The `paper` profile trains with these, and `reskd/recipes` prints them: book and code cannot differ.
"""

from dataclasses import replace

import torch

from kdlib.methods.base import Method
from kdlib.runs.build import method_of as build_method
from kdlib.runs.build import model_of
from kdlib.runs.spec import DataSpec, MethodSpec, ModelSpec, RunSpec
from kdlib.training.recipe import Recipe

# Rate for 64 videos, warm-up, clipping: released configs (the appendix names none of them).
RESNET = Recipe(
    epochs=50,
    learning_rate=0.01,
    batch_size=64,
    optimizer="sgd",
    momentum=0.9,
    nesterov=True,
    weight_decay=1e-4,
    schedule="cosine",
    clip_norm=40.0,
    bias_multiplier=2.0,
)
RESNET_STUDENT = replace(RESNET, epochs=100, clip_norm=20.0)
SLOWONLY = Recipe(
    epochs=150,
    learning_rate=0.01,
    batch_size=64,
    optimizer="sgd",
    momentum=0.9,
    weight_decay=1e-4,
    schedule="step",
    milestones=(90, 130),
    warmup_epochs=10,
    clip_norm=40.0,
    decay_vectors=True,
)
SWIN = Recipe(
    epochs=60,
    learning_rate=1e-3,
    batch_size=64,
    optimizer="adamw",
    weight_decay=0.02,
    schedule="cosine",
    warmup_epochs=2.5,
    backbone_multiplier=0.1,
    accumulate=16,
)


def clips(name: str, frames: int, **sampling: object) -> DataSpec:
    """224-pixel clips of a data set with the paper's multi-scale crops."""
    return DataSpec(name, frames=frames, size=224, crop="multiscale", **sampling)


def tsn(backbone: str) -> ModelSpec:
    """TSN as ResKD trains it: dropout 0.5 before the fc."""
    return ModelSpec("tsn", {"backbone": backbone, "dropout": 0.5})


def distilled(teacher: RunSpec, model: ModelSpec, recipe: Recipe, **options: object) -> RunSpec:
    """A student of `teacher` at 112 pixels."""
    method = MethodSpec("resolution", (teacher,), {"resolution": 112, **options})
    return RunSpec(teacher.data, model, recipe, method)


def published() -> dict[str, RunSpec]:
    """The runs whose settings the appendix prints, by the name used in `published/recipes.csv`."""
    teacher = RunSpec(clips("mini_kinetics200", 8), tsn("resnet152"), RESNET)
    student = distilled(teacher, tsn("resnet50"), RESNET_STUDENT)
    on_activitynet = replace(teacher, data=clips("activitynet", 16))
    slow = RunSpec(
        clips("kinetics400", 8, sampling="dense", stride=8, views=10),
        ModelSpec("slowonly", {"backbone": "resnet50", "dropout": 0.5}),
        SLOWONLY,
    )
    swin = RunSpec(
        clips("kinetics400", 32, sampling="dense", stride=2, views=4),
        ModelSpec("swin3d", {"backbone": "swin3d_b", "dropout": 0.5}),
        SWIN,
    )
    small = replace(swin.model, options={**swin.model.options, "backbone": "swin3d_s"})
    return {
        "ResNet teacher": teacher,
        "ResNet student": student,
        "ResNet student on ActivityNet": distilled(
            on_activitynet, tsn("resnet50"), replace(RESNET_STUDENT, epochs=200)
        ),
        "ResNet ablations": replace(student, recipe=replace(RESNET_STUDENT, epochs=50)),
        "SlowOnly student": distilled(slow, slow.model, SLOWONLY),
        "Swin student": distilled(swin, small, SWIN, target="pixel"),
    }


def students() -> dict[str, RunSpec]:
    """The students of the paper's four kinds of backbone."""
    specs = published()
    shifted = ModelSpec("tsm", {"backbone": "resnet50", "dropout": 0.5})
    teacher = RunSpec(clips("ssv2", 8), shifted, RESNET)
    return {
        "TSN": specs["ResNet student"],
        "TSM": distilled(teacher, shifted, RESNET_STUDENT),
        "SlowOnly": specs["SlowOnly student"],
        "Video Swin": specs["Swin student"],
    }


def method_of(spec: RunSpec) -> Method:
    """The method a spec would train with, its networks without memory."""
    with torch.device("meta"):
        student, teacher = (model_of(part, 400) for part in (spec, spec.method.teachers[0]))
        return build_method(spec.method, student, [teacher])
