"""What exists already: artifacts and runs of chapters, and one artifact explained."""

import json
from collections.abc import Sequence

import pandas as pd

from kdlib.errors import unknown
from kdlib.press.reproduce import open_chapters
from kdlib.study.chapter import Chapter
from kdlib.study.setting import Setting


def status(names: Sequence[str], setting: Setting) -> str:
    """A line an artifact: whether it is written, and how many of its runs are in the store."""
    rows = []
    for chapter in open_chapters(names, setting):
        for name, study in chapter.studies.items():
            keys = {chapter.key(spec) for spec in study.specs()}
            found = sum(setting.run_store.find(key) is not None for key in keys)
            written = (setting.folder / f"{name}.json").exists()
            rows.append(
                {
                    "artifact": name,
                    "written": "yes" if written else "no",
                    "runs": f"{found}/{len(keys)}",
                    "title": study.title,
                }
            )
    return pd.DataFrame(rows).to_string(index=False)


def explain(artifact: str, setting: Setting) -> str:
    """An artifact's title and place, and of each of its runs: what, key, accuracy, seconds."""
    chapters = open_chapters([], setting)
    chapter = _owner(artifact, chapters)
    study = chapter.study(artifact)
    lines = [f"{artifact}: {study.title}", f"written to {setting.folder / artifact}.*"]
    path = setting.folder / f"{artifact}.json"
    if path.exists():
        made = json.loads(path.read_text())
        lines.append(f"devices {made['devices']}, torch {made['torch']}, commits {made['commits']}")
    for label, specs in study.runs.items():
        for spec in specs:
            key = chapter.key(spec)
            record = setting.run_store.find(key)
            state = "missing"
            if record:
                score = record.result["last"]["score"]
                state = f"{100 * score:.1f} %, {record.result['cost']['seconds']:.0f} s"
            lines.append(f"  {label}, seed {spec.seed}: {key} {state}")
    return "\n".join(lines)


def _owner(artifact: str, chapters: Sequence[Chapter]) -> Chapter:
    for chapter in chapters:
        if artifact in chapter.studies:
            return chapter
    raise unknown("artifact", artifact, [name for c in chapters for name in c.studies])
