"""Execute one RunSpec: load data and teachers, train, test once, write the record."""

import inspect
import json
import platform
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kdlib import methods, models
from kdlib.analysis import metrics
from kdlib.clips.augmentation import Augmentation
from kdlib.clips.batches import ClipSource
from kdlib.clips.sampling import Sampling
from kdlib.data.videos import Videos
from kdlib.errors import UserError
from kdlib.methods.base import Method
from kdlib.models.classifier import VideoClassifier
from kdlib.models.cost import macs, parameters
from kdlib.runs.spec import DataSpec, RunSpec
from kdlib.runs.store import RunRecord, RunStore
from kdlib.training.evaluate import predict
from kdlib.training.loop import fit, samples_per_second
from kdlib.training.memory import peak_memory, reset_peak_memory


def execute(
    spec: RunSpec,
    key: str,
    store: RunStore,
    videos: Mapping[str, Videos],
    needed: Sequence[RunRecord],
    *,
    device: str = "cpu",
    progress: Callable[[int], None] = lambda epoch: None,
) -> RunRecord:
    """Train and test `spec` on its data's splits and write the record under `key`.

    needed: the records of `spec.needs`, in this order.
    """
    started, cpu_started = time.perf_counter(), time.process_time()
    reset_peak_memory(device)
    torch.manual_seed(spec.seed)
    # Before the teachers, which draw random numbers too: one seed, one start, whatever the method.
    student = models.build(spec.model.name, len(videos["train"].classes), **spec.model.options)
    teachers = needed[: len(spec.method.teachers)]
    if spec.start:
        start_from(student, needed[-1], same_data=spec.start.data == spec.data)
    method = build_method(spec, student, [teacher.student() for teacher in teachers])
    sources = {name: clip_source(split, spec.data, name) for name, split in videos.items()}
    validation = sources["validation"] if len(videos["validation"]) else None
    history = fit(
        method,
        sources["train"],
        spec.recipe,
        seed=spec.seed,
        validation=validation,
        device=device,
        precision=spec.precision,
        checkpoint=store.checkpoint(key),
        progress=progress,
    )
    # Copies: loading the chosen epoch writes into the tensors that state_dict() shares.
    last = {name: value.cpu().clone() for name, value in method.student.state_dict().items()}
    logits = {"last": predict(method, sources["test"], device=device)}
    if history.best_state:
        method.student.load_state_dict(history.best_state)
        logits["chosen"] = predict(method, sources["test"], device=device)
        method.student.load_state_dict(last)
    test = videos["test"]
    labels = torch.from_numpy(test.labels)
    # As float16: enough for paired statistics, and small.
    traces = {f"logits_{rule}": value.numpy().astype(np.float16) for rule, value in logits.items()}
    result = {
        "classes": list(videos["train"].classes),
        "videos": {name: len(split) for name, split in videos.items()},
        "chosen_epoch": history.best_epoch,
        **{rule: scores(values, labels) for rule, values in logits.items()},
        "cost": {
            **cost(method, spec),
            "samples_per_second": samples_per_second(history),
            "training_seconds": sum(row["seconds"] for row in history.epochs),
            "seconds": time.perf_counter() - started,
            "cpu_seconds": time.process_time() - cpu_started,
            "peak_memory_bytes": peak_memory(device),
        },
    }
    return store.write(
        key,
        texts={
            "spec.json": json.dumps(json.loads(spec.to_json()), indent=1),
            "env.json": json.dumps(environment(device), indent=1),
            "metrics.jsonl": "".join(json.dumps(row) + "\n" for row in history.epochs),
            "result.json": json.dumps(result, indent=1),
        },
        traces={**traces, "labels": test.labels, "groups": test.groups, **method.traces()},
        student=last,
    )


def build_method(
    spec: RunSpec, student: VideoClassifier, teachers: Sequence[VideoClassifier]
) -> Method:
    """The method of a spec around a student and its teachers."""
    module = import_module(f"kdlib.methods.{methods.check(spec.method.name)}")
    allowed = list(inspect.signature(module.build).parameters)[2:]
    for option in spec.method.options:
        if option not in allowed:
            raise methods.unknown_option(spec.method.name, option, allowed)
    return module.build(student, teachers, **spec.method.options)


def start_from(student: VideoClassifier, record: RunRecord, *, same_data: bool) -> None:
    """Give the student the last weights of a run; without its last layer if its data differ."""
    weights = record.student().state_dict()
    if not same_data:
        weights = {name: w for name, w in weights.items() if not name.startswith("fc.")}
    student.load_state_dict(weights, strict=same_data)


def clip_source(videos: Videos, data: DataSpec, split: str) -> ClipSource:
    """How a data spec draws clips from a split: augmented for training only."""
    sampling = Sampling(data.sampling, data.frames, stride=data.stride, views=data.views)
    crop, flip = (data.crop, data.flip) if split == "train" else ("none", False)
    return ClipSource(videos, sampling, Augmentation(crop=crop, mirror=flip), data.size)


def scores(logits: Tensor, labels: Tensor) -> dict[str, Any]:
    """Numbers by clip and by video of logits (N, views, K); `score` is top-1, or mAP for multi-hot.

    Single-label sets also have top-5, clip-level top-1 and top-1 of each class.
    """
    views = logits.shape[1]
    video = metrics.video_logits(logits)
    found: dict[str, Any] = {"score": metrics.quality(video, labels)}
    if labels.ndim == 1:
        clip_labels = labels.repeat_interleave(views)
        found |= {
            "video_top5": metrics.accuracy(video, labels, k=5),
            "clip_top1": metrics.accuracy(logits.flatten(0, 1), clip_labels),
            "per_class": [float(value) for value in metrics.per_class_accuracy(video, labels)],
        }
    return found


def cost(method: Method, spec: RunSpec) -> dict[str, float]:
    """Parameters of the student and multiply-accumulates of classifying one clip, in billions."""
    pixels = method.resolution or spec.data.size
    method.eval()
    work = macs(method.student, (3, spec.data.frames, pixels, pixels))
    return {"parameters": parameters(method.student), "gmacs": work / 1e9}


def environment(device: str) -> dict[str, Any]:
    """Versions, device, threads and commit, for `env.json`."""
    root = Path(__file__).parents[2]
    commit = subprocess.run(
        ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12"],
        capture_output=True,
        text=True,
        check=False,
    )
    name = torch.cuda.get_device_name() if device.startswith("cuda") else platform.machine()
    packages = ("torch", "torchvision", "numpy", "lightning-fabric", "av")
    return {
        "python": platform.python_version(),
        "packages": {package: version(package) for package in packages},
        "device": name,
        "device_type": device.split(":")[0],
        "threads": torch.get_num_threads(),
        "commit": commit.stdout.strip() or "unknown",
    }


def check(spec: RunSpec) -> None:
    """Refuse a spec whose model or method cannot be built, by building both without memory."""
    if spec.start and spec.start.model != spec.model:
        raise UserError(
            f"start: {spec.title} starts from a {spec.start.model.name} with other options; "
            "a student takes the weights of its own model only"
        )
    try:
        with torch.device("meta"):
            student, *teachers = (
                models.build(part.model.name, 2, **part.model.options)
                for part in (spec, *spec.method.teachers)
            )
            build_method(spec, student, teachers)
    except (TypeError, ValueError) as error:
        raise UserError(f"{spec.title}: {error}") from None
