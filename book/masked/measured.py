"""What networks of the masked chapter do with clips, beyond what their records say."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch

from book.masked.runs import Runs
from kdlib.analysis.frames import frame_similarity, mean_between_frames
from kdlib.clips.batches import Batch, ClipSource, ordered_batches
from kdlib.models.base import VideoModel
from kdlib.runs.build import clip_source, model_of
from kdlib.runs.spec import DataSpec
from kdlib.runs.store import RunRecord
from kdlib.study.setting import Setting

CPU = torch.device("cpu")
Named = Mapping[tuple[str, ...], Sequence[RunRecord]]


def held_out(data: DataSpec, setting: Setting) -> ClipSource:
    """Clips of a pre-training's set that it never saw, without augmentation."""
    data = replace(data, validation=Runs(setting).scale.held_out)
    return clip_source(setting.datasets.load(data)["validation"], data, "validation")


def by_scene(source: ClipSource) -> Iterator[Batch]:
    """A batch of all clips of each scene."""
    scenes = source.videos.groups
    for scene in np.unique(scenes):
        indices = np.flatnonzero(scenes == scene)
        yield next(ordered_batches(source, CPU, len(indices), indices))


def errors(
    records: Named, name: str, setting: Setting, seed: int = 0
) -> dict[str, dict[str, np.ndarray]]:
    """By what a pre-training of `runs.pretrained` predicts, its loss on held-out clips, that of
    their mean and that of the nearest visible place's answer, of each scene.

    seed: of the masks.
    """
    (record,) = records[name,]
    trained = {each.spec: each for group in records.values() for each in group}
    method = record.method([trained[spec] for spec in record.spec.method.teachers])
    found: dict[str, dict[str, list[float]]] = {}
    with torch.random.fork_rng(), torch.inference_mode():
        torch.manual_seed(seed)
        for batch in by_scene(held_out(record.spec.data, setting)):
            for predicted, answers in method.controls(batch).items():
                row = found.setdefault(predicted, {})
                for kind, loss in answers.items():
                    row.setdefault(kind, []).append(float(loss))
    return {
        predicted: {kind: np.array(losses) for kind, losses in row.items()}
        for predicted, row in found.items()
    }


def margins(found: Mapping[str, np.ndarray]) -> np.ndarray:
    """By how much of its loss the better of mean and neighbour is undercut, per cent, by scene."""
    better = np.minimum(found["mean"], found["neighbour"])
    return 100 * (1 - found["prediction"] / better)


def similarities(network: VideoModel, setting: Setting) -> np.ndarray:
    """Cosines of the features of every two times, the mean over the clips of each scene: (S, T, T).

    The clips are held-out videos of the pre-training, seen whole. A network of images sees the
    first of every two frames, those that it teaches.
    """
    runs = Runs(setting)
    source = held_out(runs.pretraining(runs.video_teacher).data, setting)
    found = []
    with torch.inference_mode():
        for batch in by_scene(source):
            clips = batch.clips[:, :, ::2] if network.backbone.image else batch.clips
            found.append(frame_similarity(network.features(clips)).mean(0).numpy())
    return np.stack(found)


def between_frames(record: RunRecord, setting: Setting, *, trained: bool = True) -> np.ndarray:
    """The mean cosine of two different times, by scene: (S,). Or that of the same network before
    its training."""
    if trained:
        network = record.student()
    else:
        with torch.random.fork_rng():
            torch.manual_seed(record.spec.seed)
            network = model_of(record.spec, len(record.result["classes"])).eval()
    return mean_between_frames(torch.from_numpy(similarities(network, setting))).numpy()


def learnt_between_frames(record: RunRecord, setting: Setting) -> np.ndarray:
    """What training added to the mean cosine of two different times, by scene: (S,)."""
    return between_frames(record, setting) - between_frames(record, setting, trained=False)


def shuffled(record: RunRecord, setting: Setting, seed: int = 0) -> float:
    """Frame mAP in per cent of a detector that is given the boxes of others.

    The boxes of a batch's actors are dealt out among them anew; what is asked of each stays.
    """
    network, data = record.student(), record.spec.data
    task, draw = record.method().task, torch.Generator().manual_seed(seed)
    source = clip_source(setting.datasets.load(data)["test"], data, "test")
    outputs, truths = [], []
    with torch.inference_mode():
        for batch in ordered_batches(source, CPU):
            truth = task.truth(batch)
            there, boxes = truth["there"], batch.known["boxes"].clone()
            order = torch.randperm(int(there.sum()), generator=draw)
            boxes[there] = boxes[there][order]
            outputs.append(task.answer(network, replace(batch, known={"boxes": boxes})))
            truths.append(truth)
    joined = {name: torch.cat([truth[name] for truth in truths])[:, None] for name in truths[0]}
    return 100 * float(task.judge(torch.cat(outputs)[:, None], joined)["score"])
