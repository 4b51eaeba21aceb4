"""`classify VIDEO` and `export KEY`: a trained student asked, and taken elsewhere."""

import json
from pathlib import Path

from tabulate import tabulate

from kdlib.errors import UserError
from kdlib.runs.store import RunStore
from kdlib.runs.student_files import load_student, save_student
from kdlib.runs.students import Student, infer, record_named, student_of

_SHOWN = 5


def classify(store: RunStore, words: list[str], record: str, as_json: bool, device: str) -> int:
    """Print the five most likely actions of a video, as a table or as JSON.

    record: the file of a student, or the beginning of a run's key in the store.
    """
    if len(words) != 1:
        raise UserError("classify: name one video, as kdlib classify clip.mp4 --record KEY")
    if not record:
        raise UserError("classify: --record names a student: the key of a run, or an exported file")
    student = _student(store, record)
    found = list(infer(student, words[0], device=device).items())[:_SHOWN]
    if as_json:
        answers = [{"action": name, "probability": value} for name, value in found]
        said = {"video": words[0], "run": student.provenance.get("run"), "actions": answers}
        print(json.dumps(said, indent=1))
        return 0
    rows = [(name, f"{100 * value:.1f} %") for name, value in found]
    print(tabulate(rows, headers=("action", "probability"), colalign=("left", "right")))
    return 0


def export(store: RunStore, words: list[str]) -> int:
    """Write the student of a run to a file, `<key>.safetensors` by default."""
    if not 1 <= len(words) <= 2:
        raise UserError("export: name a run and perhaps a file, as kdlib export KEY FILE")
    record = record_named(store, words[0])
    path = Path(words[1] if len(words) == 2 else f"{record.path.name}.safetensors")
    student = student_of(record)
    save_student(student, path)
    size = path.stat().st_size / 1e6
    print(f"{path}: {record.spec.title}, {len(student.classes)} classes, {size:.1f} MB")
    return 0


def _student(store: RunStore, record: str) -> Student:
    if Path(record).suffix or "/" in record:
        return load_student(record)
    return student_of(record_named(store, record))
