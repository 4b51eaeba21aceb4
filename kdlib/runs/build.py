"""From a spec to the networks, the method and the clips of its run."""

from collections.abc import Sequence

from torch import nn

from kdlib import methods, models, tasks
from kdlib.clips.augmentation import Augmentation
from kdlib.clips.batches import ClipSource
from kdlib.clips.sampling import Sampling
from kdlib.data import manifest
from kdlib.data.videos import Videos
from kdlib.errors import UserError
from kdlib.methods.base import Method
from kdlib.models.base import VideoModel
from kdlib.runs.spec import DataSpec, MethodSpec, RunSpec


def model_of(spec: RunSpec, classes: int) -> VideoModel:
    """The student of a spec, untrained, with the head that its task asks for."""
    model = models.build(spec.model.name, classes, **spec.model.options)
    return tasks.equip(model, spec.data.asked, classes)


def method_of(spec: MethodSpec, student: nn.Module, teachers: Sequence[nn.Module]) -> Method:
    """The method of a spec around a student and its teachers."""
    if methods.goes_around(spec.name):
        if spec.base is None:
            raise UserError(f"method.base: {spec.name} goes around another method; name it")
        return methods.build(spec.name, method_of(spec.base, student, teachers), **spec.options)
    if spec.base is not None:
        raise UserError(f"method.base: {spec.name} goes around no other method; leave it out")
    return methods.build(spec.name, student, teachers, **spec.options)


def clip_source(videos: Videos, data: DataSpec, split: str) -> ClipSource:
    """How a data spec draws clips from a split: augmented for training only.

    Training clips are mirrored where the manifest says that this keeps their labels.
    """
    sampling = Sampling(data.sampling, data.frames, stride=data.stride, views=data.views)
    augmentation = Augmentation()
    if split == "train":
        augmentation = Augmentation(data.crop, mirror=manifest.load(data.name).mirror)
    return ClipSource(
        videos, sampling, augmentation, data.size, data.others, tuple(data.known), data.labels
    )
