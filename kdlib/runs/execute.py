"""Execute one RunSpec: load data and teachers, train, test once, write the record."""

import json
import platform
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kdlib.clips.batches import ClipSource
from kdlib.data.videos import Videos
from kdlib.errors import UserError
from kdlib.methods.base import Method
from kdlib.models.base import CHANNELS, VideoModel
from kdlib.models.cost import parameters
from kdlib.runs.build import clip_source, method_of, model_of
from kdlib.runs.rehearsal import rehearse
from kdlib.runs.size import size
from kdlib.runs.spec import RunSpec, Start
from kdlib.runs.store import RunRecord, RunStore
from kdlib.training.evaluate import predict
from kdlib.training.loop import History, fit, samples_per_second
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
    student = model_of(spec, len(videos["train"].classes))
    teachers = needed[: len(spec.method.teachers)]
    if spec.start:
        take_over(student, needed[-1], spec.start)
    method = method_of(spec.method, student, [teacher.student() for teacher in teachers])
    sources = {name: clip_source(split, spec.data, name) for name, split in videos.items()}
    history = fit(
        method,
        sources["train"],
        spec.recipe,
        seed=spec.seed,
        validation=sources.get("validation"),
        device=device,
        precision=spec.precision,
        checkpoint=store.checkpoint(key),
        belongs_to=key,
        progress=progress,
    )
    # Copies: loading the chosen epoch writes into the tensors that state_dict() shares.
    last, own = copied(method.student.state_dict()), copied(method.own_state())
    judged, traces = tested(method, sources.get("test"), history, (last, own), device)
    result = {
        "classes": list(videos["train"].classes),
        "videos": {name: len(split) for name, split in videos.items()},
        "chosen_epoch": history.best_epoch,
        "input": [CHANNELS[student.sees], *sizes(method, spec)],
        "cycle": method.cycle,
        **judged,
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
        traces={**traces, **method.traces()},
        student=last,
        own=own,
    )


def take_over(student: VideoModel, record: RunRecord, start: Start) -> None:
    """Give the student the last weights of a run, or those of its backbone."""
    theirs = record.student()
    if start.part == "backbone":
        student.backbone.load_state_dict(theirs.backbone.state_dict())
    elif start.run.data.asked != student.task or theirs.classes != student.classes:
        raise UserError(
            f"start.part: the heads differ ({theirs.classes} classes for {theirs.task}, "
            f'{student.classes} for {student.task}); take over the "backbone" alone'
        )
    else:
        student.load_state_dict(theirs.state_dict())


def tested(
    method: Method,
    source: ClipSource | None,
    history: History,
    last: tuple[dict[str, Tensor], dict[str, Tensor]],
    device: str,
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """What the task says at the last and at the chosen epoch, and the outputs to keep.

    A method that predicts nothing is judged by its validation loss, if there were validation clips.
    last: the states of the last epoch, which are put back.
    """
    outputs = {"last": predict(method, source, device=device) if source else None}
    if outputs["last"] is None:
        scores = [row["validation_score"] for row in history.epochs if "validation_score" in row]
        chosen = {"last": scores[-1], "chosen": max(scores)} if scores else {}
        return {rule: {"validation_loss": -score} for rule, score in chosen.items()}, {}
    assert source is not None
    if history.best_epoch == len(history.epochs) - 1:
        outputs["chosen"] = outputs["last"]
    elif history.best_state:
        method.student.load_state_dict(history.best_state)
        method.load_own_state(history.best_own)
        outputs["chosen"] = predict(method, source, device=device)
        method.student.load_state_dict(last[0])
        method.load_own_state(last[1])
    judged: dict[str, Any] = {}
    traces = {"labels": source.videos.labels, "groups": source.videos.groups}
    for rule, found in outputs.items():
        assert found is not None
        judged[rule] = method.task.judge(found.values, found.truth)
        kept = method.task.keep(found.values)
        traces |= {f"{name}_{rule}": values for name, values in kept.items()}
    return judged, traces


def copied(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The state on the CPU, sharing nothing."""
    return {name: value.detach().cpu().clone() for name, value in state.items()}


def sizes(method: Method, spec: RunSpec) -> tuple[int, int, int]:
    """Frames of a clip as the method receives it, height and width as the student does."""
    pixels = method.resolution or spec.data.size
    return spec.data.frames, pixels, pixels


def cost(method: Method, spec: RunSpec) -> dict[str, float]:
    """Parameters of the student and of what is trained beside it, billions of
    multiply-accumulates of one clip at test time, and the size of the whole run."""
    whole = size(spec)
    return {
        "calls": whole.calls,
        "macs": whole.macs,
        "parameters": parameters(method.student),
        "own_parameters": method.own_parameters(),
        "gmacs": rehearse(spec).evaluation.macs / 1e9,
    }


def environment(device: str) -> dict[str, Any]:
    """Versions, device, threads, time and commit, for `env.json`."""
    root = Path(__file__).parents[2]
    commit = subprocess.run(
        ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12"],
        capture_output=True,
        text=True,
        check=False,
    )
    name = torch.cuda.get_device_name() if device.startswith("cuda") else processor()
    packages = ("torch", "torchvision", "numpy", "lightning-fabric", "av")
    return {
        "python": platform.python_version(),
        "packages": {package: version(package) for package in packages},
        "device": name,
        "device_type": device.split(":")[0],
        "threads": torch.get_num_threads(),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit.stdout.strip() or "unknown",
    }


def processor() -> str:
    """The model of this machine's processor, as far as it says."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    named = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(named, "") or platform.processor() or platform.machine()
