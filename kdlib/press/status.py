"""What exists already: artifacts and runs of chapters, and one artifact explained."""

from collections.abc import Sequence

import pandas as pd

from kdlib.errors import unknown
from kdlib.press.reproduce import open_chapters
from kdlib.study.chapter import Chapter
from kdlib.study.setting import Setting
from kdlib.study.stamp import artifact_text


def status(names: Sequence[str], setting: Setting) -> str:
    """A line an artifact: whether it is written, and how many of its runs are in the store.

    Written means intact, and made of the runs and the code of today (`Chapter.made`).
    """
    rows = []
    for chapter in open_chapters(names, setting)[0]:
        made = chapter.made()
        for name, study in chapter.studies.items():
            keys = {chapter.key(spec) for spec in study.specs()}
            found = sum(setting.run_store.find(key) is not None for key in keys)
            rows.append(
                {
                    "artifact": name,
                    "written": "yes" if name in made else "no",
                    "runs": f"{found}/{len(keys)}",
                    "title": study.title,
                }
            )
    return pd.DataFrame(rows).to_string(index=False)


def explain(artifact: str, setting: Setting) -> str:
    """An artifact's title and place, and of each of its runs: what, key, accuracy, seconds."""
    chapters, _ = open_chapters([], setting)
    chapter = _owner(artifact, chapters)
    study = chapter.study(artifact)
    lines = [f"{artifact}: {study.title}", artifact_text(setting, study.runs)]
    if made := chapter.made().get(artifact):
        lines.append(f"written to {setting.folder / artifact}.*")
        lines.append(f"devices {made['devices']}, torch {made['torch']}, commits {made['commits']}")
        lines.append(f"trained on {made['trained']} by: {made['command']}")
    else:
        lines.append("not written, or edited since, or of other runs or code: reproduce makes it")
    for label, specs in study.runs.items():
        for spec in specs:
            key = chapter.key(spec)
            record = setting.run_store.find(key)
            state = "missing"
            if record:
                judged = record.result.get("last", {})
                found = f"{100 * judged['score']:.1f} %, " if "score" in judged else ""
                state = f"{found}{record.result['cost']['seconds']:.0f} s"
            name = " ".join(map(str, label)) if isinstance(label, tuple) else label
            lines.append(f"  {name}, seed {spec.seed}: {key} {state}")
    return "\n".join(lines)


def _owner(artifact: str, chapters: Sequence[Chapter]) -> Chapter:
    for chapter in chapters:
        if artifact in chapter.studies:
            return chapter
    raise unknown("artifact", artifact, [name for c in chapters for name in c.studies])
