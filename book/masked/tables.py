"""The tables of the masked chapter that are made of runs: ours beside what was printed."""

from functools import cache

import pandas as pd

from book.masked import measured, printed
from book.masked.runs import PRINTED, SCRATCH, TASKS
from kdlib.models.cost import cost
from kdlib.study import tables
from kdlib.study.chapter import Records
from kdlib.study.setting import Setting

AVA_CLASSES = 80
CLIP = (3, 16, 224, 224)


def detection_table(records: Records) -> pd.DataFrame:
    """Table 10 as printed; ours beside ViT-B's rows, parameters and cost counted at true size."""
    names, rows = {"VideoMAE vit-B": "VideoMAE", "MVD-B (Teacher-B)": "MVD"}, []
    for line in printed.published("table-10").to_dict("records"):
        group = records.get((names.get(line["method"], ""), line["extra labels"]))
        size = counted(line["method"])
        rows.append(
            {
                "method": line["method"],
                "extra data": line["extra data"],
                "extra labels": line["extra labels"],
                "mAP|here": group and tables.accuracy(group),
                "mAP|paper": float(line["mAP"]),
                "GFLOPs|counted": size and round(size["gmacs"]),
                "GFLOPs|paper": line["GFLOPs"],
                "Param|counted": size and round(size["parameters"] / 1e6),
                "Param|paper": line["Param"],
            }
        )
    return pd.DataFrame(rows, dtype=object)


def counted(method: str) -> dict[str, float] | None:
    """Parameters and cost of the ViT that the name of a method ends in; None for other networks."""
    words = method.lower().replace("vit-", "vit_").replace("mvd-", "vit_").split()
    found = [word for word in words if word.startswith("vit_")]
    return _true_size(found[0]) if found else None


@cache
def _true_size(backbone: str) -> dict[str, float]:
    return cost("vit", AVA_CLASSES, CLIP, backbone=backbone)


def actor_table(records: Records, setting: Setting) -> pd.DataFrame:
    """A row a detector: frame mAP, the gain over one from scratch, and with shuffled boxes."""
    rows = []
    for (name, labels), group in records.items():
        baseline = None if name == SCRATCH else records[SCRATCH, "×"]
        wrong = [measured.shuffled(record, setting) for record in group]
        rows.append(
            {
                "start": name,
                "extra labels": labels,
                "mAP %": tables.accuracy(group),
                "gain": baseline and tables.gain(group, baseline),
                "n": len(group),
                "mAP %, shuffled boxes": round(sum(wrong) / len(wrong), 1),
            }
        )
    return pd.DataFrame(rows)


def beside_print(records: Records, number: str, heading: str) -> pd.DataFrame:
    """Tables 11 to 13: a row a training, a column a data set, and what was printed there."""
    paper = printed.accuracies(number)
    rows: dict[str, dict[str, object]] = {}
    for (role, name), group in records.items():
        column = f"{TASKS[role]} ({PRINTED[role]})"
        rows.setdefault(name, {heading: name}).update(
            {
                f"{column}|top-1 %": tables.accuracy(group),
                f"{column}|paper": paper[name, PRINTED[role]],
            }
        )
    counts = [len(records[next(iter(TASKS)), name]) for name in rows]
    return pd.DataFrame(list(rows.values())).assign(n=counts)


def target_table(records: Records) -> pd.DataFrame:
    """Table 14: a row a target and data set, gains over pixels, and what was printed there."""
    paper = printed.accuracies("table-14")
    sets = {"image": "IN-1K", **PRINTED}
    rows = []
    for (role, target), group in records.items():
        pixels = records[role, "pixels"]
        rows.append(
            {
                "data": f"{TASKS.get(role, 'pictures')} ({sets[role]})",
                "target": target,
                "top-1 %": tables.accuracy(group),
                "gain over pixels": None if group is pixels else tables.gain(group, pixels),
                "n": len(group),
                "paper": paper.get((target, sets[role])),
            }
        )
    return pd.DataFrame(rows, dtype=object)


def start_table(records: Records) -> pd.DataFrame:
    """A row a start and task: accuracy, and the gain over a start from random weights."""
    rows = []
    for (role, name), group in records.items():
        baseline = None if name == SCRATCH else records[role, SCRATCH]
        rows.append(
            {
                "task": TASKS[role],
                "start": name,
                "top-1 %": tables.accuracy(group),
                "gain": baseline and tables.gain(group, baseline),
                "n": len(group),
            }
        )
    return pd.DataFrame(rows)


def learnt_table(records: Records, setting: Setting) -> pd.DataFrame:
    """A row a prediction of held-out clips: its loss, what it must beat, and what it cost."""
    rows = []
    for (name,), (record,) in records.items():
        for predicted, found in measured.errors(records, name, setting).items():
            rows.append(
                {
                    "pre-training": name,
                    "predicts": predicted if predicted == "pixels" else f"{predicted} features",
                    "loss|prediction": round(float(found["prediction"].mean()), 4),
                    "loss|mean": round(float(found["mean"].mean()), 4),
                    "loss|neighbour": round(float(found["neighbour"].mean()), 4),
                    "below the better, %": round(float(measured.margins(found).mean()), 1),
                    "epochs": record.spec.recipe.epochs,
                    "train s": round(record.result["cost"]["training_seconds"], 1),
                }
            )
    return pd.DataFrame(rows)


def similarity_table(records: Records, setting: Setting) -> pd.DataFrame:
    """A row a network: the mean cosine of its features at two different times, by scene, and that
    of the network as it began."""
    rows = []
    for (name,), (record,) in records.items():
        found = measured.between_frames(record, setting)
        untrained = measured.between_frames(record, setting, trained=False)
        rows.append(
            {
                "network": name,
                "mean cosine": round(float(found.mean()), 3),
                "lowest scene": round(float(found.min()), 3),
                "highest scene": round(float(found.max()), 3),
                "untrained": round(float(untrained.mean()), 3),
            }
        )
    return pd.DataFrame(rows)
