"""What the teachers of Tables 1 to 4 learnt of their own questions."""

from typing import Any

import pandas as pd

from book.pretext.measured import answers
from book.pretext.runs import (
    DIFFICULTIES,
    NETWORKS,
    SCALES,
    TASKS,
    Made,
    Runs,
    categories,
    difficulties,
    sources,
    subsets,
)
from kdlib.analysis.statistics import Interval
from kdlib.study.chapter import Records
from kdlib.study.checks import clustered
from kdlib.study.readings import Reading
from kdlib.study.setting import Setting, scale_of

ABOVE = "above chance"


def pretrainings(runs: Runs) -> Made:
    """By table, its row, and which teacher it is: the pre-training."""
    makers = {"1": subsets, "2": difficulties, "3": sources, "4": categories}
    found: Made = {}
    for table, make in makers.items():
        for label, (tuned, *_) in make(runs, (0,)).items():
            row = label[1:] if table == "1" else label  # its two targets have the same teachers
            if tuned.start:
                found[table, *row] = (tuned.start.run,)
    return found


def teacher_table(records: Records, setting: Setting) -> pd.DataFrame:
    """A row a pre-training, and in which tables it stands: what of its questions on held-out clips
    it answers, and by how many points that is above chance, with its interval over scenes.

    Each is asked of half of the clips of `measured.task_table`.
    """
    asked = scale_of("pretext", SCALES, setting).asked // 2
    tables: dict[Any, list[str]] = {}
    for (table, *_), (record,) in records.items():
        tables.setdefault(record.path, []).append(str(table))
    rows = []
    for (record,) in {group[0].path: group for group in records.values()}.values():
        spec, task = record.spec, _printed(TASKS, record.spec.method.name)
        scenes, answered, chance = answers(record, setting, asked=asked)
        above = zip(scenes.tolist(), (100 * (answered - chance)).tolist(), strict=True)
        option = DIFFICULTIES[task][0] if task in DIFFICULTIES else ""
        rows.append(
            {
                "network": NETWORKS[spec.model.name == "r2plus1d"],
                "task": task,
                "difficulty": f"{spec.method.options[option]} {option}" if option else "–",
                "videos": spec.data.train,
                "from": spec.data.domain,
                "tables": ", ".join(dict.fromkeys(tables[record.path])),
                "answered %": round(100 * float(answered.mean()), 1),
                "chance %": round(100 * float(chance.mean()), 1),
                ABOVE: clustered(above, ABOVE).effect,
            }
        )
    return pd.DataFrame(rows)


def _printed(names: dict[str, str], method: str) -> str:
    return next(name for name, other in names.items() if other == method)


def teachers_reading(value: pd.DataFrame, records: Records) -> Reading:
    """How many guess, and which."""
    said = [
        " ".join(str(part) for part in row if part not in ("–", "source"))
        for row in value[["network", "task", "difficulty", "videos", "from"]].itertuples(
            index=False
        )
    ]
    above: list[Interval] = value[ABOVE].tolist()
    guess = [name for name, interval in zip(said, above, strict=True) if not interval.low > 0]
    little = [
        f"{name} ({interval.estimate:+.1f})"
        for name, interval in zip(said, above, strict=True)
        if interval.low > 0 and interval.estimate < 10
    ]
    return Reading(
        f"Of {len(value)} teachers {len(value) - len(guess)} answer more than a guess. "
        f"Not told from one that guesses: {'; '.join(guess) or 'none'}. "
        f"Above it by less than 10 points: {'; '.join(little) or 'none'}.",
        "Such a question is answered by guesses for a long time and then at once, or not in so few "
        "steps; on which seed, and on which processor, is luck. A student of teachers that guess "
        "is taught what these learnt of the labels.",
        "Other seeds of the pre-training, and more steps.",
    )
