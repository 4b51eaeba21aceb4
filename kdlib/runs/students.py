"""A trained student, and what it takes to ask it which action a video shows."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kdlib.analysis.metrics import video_logits
from kdlib.clips.augmentation import Augmentation
from kdlib.clips.batches import ClipSource
from kdlib.clips.sampling import Sampling, test_frames
from kdlib.data import manifest
from kdlib.data.decode import count_frames, decode
from kdlib.data.images import decode_image
from kdlib.data.layouts import SUFFIXES
from kdlib.data.videos import Videos
from kdlib.errors import UserError
from kdlib.methods.supervised import Supervised
from kdlib.models.base import VideoModel
from kdlib.runs.datasets import stored_side
from kdlib.runs.store import RunRecord, RunStore
from kdlib.training.evaluate import predict

_PIXELS = 1 << 30  # of all frames of a video together


@dataclass(frozen=True)
class Student:
    """A network that classifies clips, with all that decides what it is shown.

    classes: what its logits stand for, in order. sampling, size: of a clip, frames and pixels, and
    how many clips of a video, whose probabilities are averaged. side: pixels to which a video is
    reduced before the middle `size` of them is taken; None for `size`. resolution: to which a
    clip is reduced for the student; None for `size`. at_most: frames that are kept of a video,
    evenly spaced; None for all. provenance: where it is from.
    """

    network: VideoModel
    classes: tuple[str, ...]
    sampling: Sampling
    size: int
    side: int | None = None
    resolution: int | None = None
    at_most: int | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        network = self.network
        if not isinstance(network, VideoModel):
            raise UserError(f"student: a network of kdlib.models, not a {type(network).__name__}")
        if network.task != "classification" or network.sees != "pixels":
            raise UserError(
                f"student: it is made for {network.task} and sees {network.sees}; only classifiers "
                "of pixels can be asked which action it is"
            )
        if isinstance(self.classes, str) or len(self.classes) != network.classes:
            raise UserError(
                f"classes: {network.classes} names, one for each logit, not {self.classes!r}"
            )


def infer(student: Student, video: Path | str, *, device: str = "cpu") -> dict[str, float]:
    """The probability of each class for a video file, the most likely first.

    Frames, crop, normalisation and the mean over clips are those of a run's evaluation. A student
    of still images takes an image file as well, and of an animated GIF the first picture; to one
    of videos a GIF is a video. UserError for what is no video.
    """
    pictures = _pictures(student, Path(video))
    one = np.zeros(1, dtype=np.int64)
    videos = Videos(pictures, one, one + len(pictures), one, one, student.classes)
    source = ClipSource(videos, student.sampling, Augmentation(), student.size, labels=True)
    method = Supervised(student.network.to(device), resolution=student.resolution)
    outputs = predict(method, source, device=device)
    method.eval()
    assert outputs is not None
    if not outputs.values.isfinite().all():
        raise UserError("student: it answers with numbers that are not finite; train it again")
    probability = video_logits(outputs.values)[0]
    order = np.argsort(-probability, kind="stable")
    return {student.classes[k]: float(probability[k]) for k in order}


def read_clip(video: Path | str, *, frames: int, size: int) -> Tensor:
    """One clip of a video file, uint8 (frames, size, size, 3), as `infer` shows it to a student.

    A frame from the middle of each of so many equal parts; the picture is reduced until it just
    covers size x size pixels, and cropped to its middle. UserError for what is no video.
    """
    if size < 1:
        raise UserError(f"size: at least 1 pixel, not {size}")
    pictures = decode(Path(video), (size, size))
    index = test_frames(np.array([len(pictures)]), Sampling("segments", frames))[0, 0]
    return torch.from_numpy(pictures[index])


def student_of(record: RunRecord) -> Student:
    """The student of a finished run; UserError if its head was not trained to classify pixels."""
    spec, result, key = record.spec, record.result, record.path.name
    data = spec.data
    if data.asked != "classification":
        raise UserError(f"{key}: its task is {data.asked}; only classifiers can be asked")
    if "score" not in result["last"]:
        raise UserError(f"{key}: {spec.method.title} trains no head; only classifiers can be asked")
    described, resolution = manifest.load(data.name), result["input"][-1]
    return Student(
        record.student(),
        tuple(result["classes"]),
        Sampling(data.sampling, data.frames, data.stride, data.views),
        data.size,
        data.size if data.generated else stored_side(data.size, described.media),
        resolution if resolution != data.size else None,
        None if data.generated else described.frames,
        {
            "run": key,
            "top1": result["last"]["score"],
            "environment": record.environment,
            "spec": spec.to_json(),
        },
    )


def record_named(store: RunStore, name: str) -> RunRecord:
    """The record whose key begins with `name`; UserError if there is none, or more than one."""
    folder = store.root / "runs"
    keys = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    found = sorted(key for key in keys if name and key.startswith(name))
    if not found:
        raise UserError(
            f"record: no key in {folder} begins with {name!r}; `kdlib explain ARTIFACT` lists the "
            "keys of its runs"
        )
    if len(found) > 1:
        shown = ", ".join(found[:3]) + (", ..." if len(found) > 3 else "")
        raise UserError(f"record: {len(found)} keys begin with {name!r}: {shown}; give more of it")
    record = store.find(found[0])
    if record is None:
        raise UserError(f"record: {found[0]} was damaged; run what made it again")
    return record


def _pictures(student: Student, video: Path) -> np.ndarray:
    """The frames of a file uint8 (T, side, side, 3)."""
    side = student.side or student.size
    if _is_image(student, video):
        return decode_image(video, (side, side))
    frames = count_frames(video)
    if min(frames, student.at_most or frames) * side**2 > _PIXELS:
        raise UserError(f"{video}: {frames} frames at {side} pixels are too many; cut the action")
    return decode(video, (side, side), at_most=student.at_most)


def _is_image(student: Student, video: Path) -> bool:
    """Whether a file is a still image to a student; a GIF is one unless it was shown videos."""
    suffix = video.suffix.lower()
    if student.sampling.frames > 1 or suffix not in SUFFIXES["images"]:
        return False
    # Stored videos have room for a moving crop, stored images have none.
    has_room = (student.side or student.size) > student.size
    return not (has_room and suffix in SUFFIXES["videos"])
