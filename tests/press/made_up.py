"""A small book of made-up numbers, with the widest tables and all that a page may hold."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import nbformat
import numpy as np
import pandas as pd
from IPython.display import HTML
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from kdlib.analysis.plots import panels
from kdlib.analysis.statistics import Interval
from kdlib.press import evidence, present, site
from kdlib.press.notebooks import ROOT
from kdlib.study.chapter import Chapter, Study
from kdlib.study.claims import VERDICTS
from kdlib.study.readings import Reading
from kdlib.study.setting import Setting

WIDE = "reskd/targets"  # three pairs of networks, five columns each, as Table 5 of SAKD
RESULTS = "reskd/batchnorm"  # a results table with real data beside it
UNGROUPED = "reskd/backbones"  # as many columns as a page has room for, none of a group
FIGURE = "reskd/resolution-sweep"
LONG = f"show(chapter, {'a' * 60!r})"  # as long as lines of code may be
CODE = f"{LONG}\nratio = 0.5  # a number, and a comment\nassert ratio < 1, f'too {{ratio}}'\n"
REAL = "JHMDB-21"


def accuracy(estimate=72.35):
    return Interval(estimate, estimate - 6.9, estimate + 6.9, 5, "t")


def gain(estimate=-2.1):
    return Interval(estimate, estimate - 11.2, estimate + 11.2, 5, "paired t")


def wide_table():
    rows = []
    for method in ("-", "KD", "DualKD (stand-in)"):
        for kind in ("Vani.", "Random*", "Steps of Ours*"):
            cells = {"method": method, "type": kind, "r": "100 %"}
            for pair in ("SlowFast", "VideoST", "TPN"):
                cells |= {
                    f"{pair}|top-1 %": accuracy(),
                    f"{pair}|top-5 %": 91.4,
                    f"{pair}|train s": 1234.5,
                    f"{pair}|paper top-1": "84.20",
                    f"{pair}|paper min an epoch": "6.4",
                }
            rows.append(cells)
    return pd.DataFrame(rows)


def results_table():
    names = ("feature KD from a teacher of another start", "logit KD")
    cells = {
        "generated clips, after pre-training|top-1 %": accuracy(),
        "generated clips, after pre-training|gain": gain(),
        f"{REAL}|top-1 %": accuracy(),
        f"{REAL}|gain": gain(),
        "n": 5,
        "MMACs": 1234.18,
        "train s": 18.5,
        "chosen %": 21.4,
    }
    return pd.DataFrame([{"training": name, "px": 24, **cells} for name in names])


def ungrouped_table():
    """Thirteen columns: those of `reskd/backbones`, and a few more."""
    names = ("TSN, a wider teacher", "SlowOnly", "Video Swin, pixel-level logits")
    cells = {
        "target": "pixel",
        "top-1 %": accuracy(),
        "gain": gain(),
        "n": 5,
        "MMACs": 1234.18,
        "parameters": 123456,
        "steps": 12345,
        "train s": 1234.5,
        "chosen %": 21.4,
        "top-5 %": 91.4,
        "frames": 16,
    }
    return pd.DataFrame([{"pair": name, "training": "KD", **cells} for name in names])


def entry(kind, verdict):
    effect = {"estimate": 2.13, "low": -13.2, "high": 17.4, "n": 5, "method": "paired t"}
    return {
        "kind": kind,
        "id": f"reskd/{kind}-{verdict}",
        "text": "Pixel-level logits teach more than features at every resolution of the student",
        "source": "Section 4.3, Table 5",
        "verdict": verdict,
        "reason": "it requires reskd/teacher-ahead, which does not hold",
        "p": 0.0004,
        "p_corrected": 0.041,
        "smallest": 15.4,
        "finding": {"effect": effect, "unit": "points", "compared": "pixel against feature KD"},
    }


def verdicts():
    """Tables of all verdicts, those of real data beside them."""
    entries = [entry(kind, verdict) for kind in ("control", "claim") for verdict in VERDICTS]
    elsewhere = {each["id"]: "not testable here" for each in entries}
    return present.claims_tables(entries, {REAL: elsewhere})


def record(seed):
    return SimpleNamespace(
        path=Path(f"runs/{seed:024x}"),
        spec=SimpleNamespace(
            title=f"resolution teacher_batchnorm=running, shufflenet3d 48 px, seed {seed}",
            seed=seed,
        ),
        result={"last": {"score": 0.723}, "cost": {"seconds": 18.5}},
        environment={
            "device": "Some Processor (R) of 2.40 GHz",
            "commit": "0123456789ab-dirty",
            "finished": "2026-01-02T03:04:05",
        },
    )


def artifacts(chapter):
    """Each artifact as HTML, with all that stands below it; and the files that it links to."""
    figure, _ = panels(columns=3, width=9, height=3)
    values = {
        WIDE: wide_table(),
        RESULTS: results_table(),
        UNGROUPED: ungrouped_table(),
        FIGURE: figure,
    }
    reading = Reading("Ours gains +2.1 points.", "It had room.", "Ten seeds.")
    records = {"pretext/distillation student, labels alone": [record(0), record(1)]}
    shown, files = [], {}
    for name, value in values.items():
        study = Study(name, "A title", lambda records: None)
        drawn = present.figure(value, "A title") if name == FIGURE else present.table(value)
        below = evidence.below(chapter, study, value, reading, records)
        shown.append(f'<figure class="kd-artifact">{drawn.data}</figure>{below}')
        ends = ("svg", "png", "json") if name == FIGURE else ("csv", "tex", "json")
        files |= {f"{evidence.FOLDER}/{name}.{end}": f"{name} {end}".encode() for end in ends}
    files[f"{evidence.FOLDER}/{chapter.claims_name}.json"] = b"[]"
    return shown, files


def of_the_lesson(chapter):
    """What a lesson shows besides: a clip, a picture in a figure, a slider with its stamp."""
    frames = np.zeros((3, 8, 8, 3), dtype=np.uint8)
    figure, axes = panels(width=2, height=2)
    axes[0, 0].imshow(np.eye(4))
    clips = present.row(present.clip(frames, "a clip"))
    slides = {name: HTML(f"<p>{name}</p>") for name in ("48 px", "24 px")}
    slider = present.stamped(chapter, present.slider("pixels", slides), WIDE)
    claims = f"{verdicts().data}{evidence.of_claims(chapter)}"
    return [clips.data, present.figure(figure, "A picture").data, slider.data, claims]


def lesson(path, shown):
    """A notebook that shows these, executed."""
    cells = [new_markdown_cell("# Tables")]
    printed = new_output("stream", name="stdout", text="5 of 5\n")
    cells.append(new_code_cell(CODE, outputs=[printed]))
    for text in shown:
        output = new_output("display_data", data={"text/html": text})
        cells.append(new_code_cell("show()", outputs=[output]))
    language = {"language_info": {"name": "python", "pygments_lexer": "ipython3"}}
    nbformat.write(new_notebook(cells=cells, metadata=language), path)


def build(folder, output):
    """The site, made in `folder` and moved to `output`: its folder."""
    setting = Setting(profile="smoke", store=str(folder / "s"), results=str(folder / "r"))
    chapter = Chapter("resolution", setting)
    shown, files = artifacts(chapter)
    source = folder / "book"
    (source / "resolution").mkdir(parents=True)
    (source / "_site").symlink_to(ROOT / "book" / "_site")
    (source / "index.md").write_text("# The book\n")
    for name in ("references.md", "references.bib"):
        shutil.copy(ROOT / "book" / name, source)
    formula = "$$ \\sum_k " + "+ q_k " * 40 + "$$"
    (source / "resolution" / "index.md").write_text(
        f"# Resolution\n\nText {{cite:p}}`kd`.\n\n{formula}\n\n| a | b |\n|---|---|\n| 1 | 2 |\n"
    )
    lesson(folder / "01-tables.ipynb", [*shown, *of_the_lesson(chapter)])
    site.build(
        source,
        {"resolution": [folder / "01-tables.ipynb"]},
        folder / "site",
        title="A book",
        stamp="Made up",
        extra_pages={"verdicts": f"# All verdicts\n\n{verdicts().data}\n"},
        attached=files,
        strict=True,
    )
    return Path(shutil.move(folder / "site", output))
