"""How notebooks show what the study made: figures, tables with verdicts, moving clips."""

import base64
import html
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from IPython.display import HTML
from matplotlib.figure import Figure
from PIL import Image

from kdlib.press import evidence, reference, tables
from kdlib.study import stamp
from kdlib.study.chapter import Chapter, MissingRuns

# Of each kind of entry, its heading and that of its sentences.
HEADINGS = {
    "control": ("Positive controls", "must hold"),
    "claim": ("The paper's sentences", "the paper says"),
    "comparison": ("The book's own comparisons", "compared here"),
}


def show(chapter: Chapter, artifact: str) -> HTML:
    """A captioned artifact, trained for if need be; if that fails, the reason without traceback.

    Below it stand the ways to its evidence, and what can be read from it (`evidence`). Of an
    artifact that real data do not allow, such as a map over numbers of clips, only that is said.
    """
    if chapter.leaves_out(artifact):
        name = html.escape(artifact)
        return HTML(
            f"<p><code>{name}</code> needs generated clips: a real set has those it has.</p>"
        )
    study = chapter.study(artifact)
    try:
        records = chapter.records(artifact)
    except MissingRuns as error:
        text = f"<strong>{html.escape(artifact)} was not made.</strong> {html.escape(str(error))}"
        return HTML(f'<div class="kd-failure">{text}</div>')
    value = chapter.write(artifact, records)
    notes: list[str] = []
    folded: dict[str, pd.DataFrame] = {}
    shown = value
    if isinstance(shown, pd.DataFrame):
        shown, notes, folded = reference.beside(shown, artifact, chapter.setting, study.specs())
    reading = study.read(value, records) if study.read else None
    # Who does not see a figure hears what was found in it.
    heard = ". ".join(filter(None, [study.title, reading and reading.found]))
    body = table(shown) if isinstance(shown, pd.DataFrame) else figure(shown, heard)
    source = stamp.artifact_text(chapter.setting, study.runs)
    lines = " ".join(html.escape(line) for line in (source, *notes))
    caption = f"{html.escape(study.title)} <code>{html.escape(artifact)}</code><br>{lines}"
    below = evidence.below(chapter, study, value, reading, records, folded)
    return HTML(
        f'<figure class="kd-artifact">{body.data}<figcaption>{caption}</figcaption></figure>{below}'
    )


def figure(value: Figure, said: str) -> HTML:
    """A matplotlib figure as an SVG image; said: what screen readers say in its place."""
    data = io.BytesIO()
    value.savefig(data, format="svg", bbox_inches="tight", metadata={"Date": None})
    # Pictures within it must keep their colours where the page is dark.
    kinds = "kd-figure" if b"<image" in data.getvalue() else "kd-figure kd-drawn"
    source = base64.b64encode(data.getvalue()).decode()
    source = f"data:image/svg+xml;base64,{source}"
    return HTML(f'<img class="{kinds}" alt="{html.escape(said)}" src="{source}">')


def table(value: pd.DataFrame) -> HTML:
    """A table as HTML (`tables.table`)."""
    return HTML(tables.table(value))


def stamped(chapter: Chapter, shown: HTML, *artifacts: str) -> HTML:
    """What a lesson shows of the first seed's runs of these artifacts, or of the clips that these
    runs see; below it the line that says which data and which profile they are of."""
    runs = {
        (name, label): specs[:1]
        for name in artifacts
        for label, specs in chapter.study(name).runs.items()
    }
    source = html.escape(stamp.artifact_text(chapter.setting, runs))
    return HTML(
        f'<figure class="kd-artifact">{shown.data}<figcaption>{source}</figcaption></figure>'
    )


def show_claims(chapter: Chapter) -> HTML:
    """All that the chapter checks, under a heading a kind, as `claims_tables`.

    Verdicts of reference results stand beside them, a column for each set of real data.
    """
    entries = [result.as_dict() for result in chapter.claims()]
    found = claims_tables(entries, reference.verdicts(chapter))
    source = html.escape(stamp.chapter_text(chapter.setting, chapter.specs()))
    return HTML(
        f'<figure class="kd-artifact">{found.data}<figcaption>{source}</figcaption></figure>'
        f"{evidence.of_claims(chapter)}"
    )


def claims_tables(
    entries: Sequence[Mapping[str, Any]], elsewhere: Mapping[str, Mapping[str, str]] | None = None
) -> HTML:
    """Tables of entries as `claims.json` has them: controls, claims, comparisons.

    elsewhere: verdicts by data set and id.
    """
    parts = []
    for kind, (heading, sentence) in HEADINGS.items():
        rows = [_entry(e, sentence, elsewhere or {}) for e in entries if e["kind"] == kind]
        if rows:
            parts.append(f"<h3>{heading}</h3>{table(pd.DataFrame(rows, dtype=object)).data}")
    return HTML(f'<div class="kd-claims">{"".join(parts)}</div>')


def _entry(
    entry: Mapping[str, Any], sentence: str, elsewhere: Mapping[str, Mapping[str, str]]
) -> dict[str, Any]:
    """A row: an entry's verdict, what was compared, the effect, and how sure one may be of it."""
    finding = entry["finding"] or {}
    compared = ". ".join(filter(None, [finding.get("compared"), entry["reason"]]))
    counted = not finding or finding["effect"]["method"] == "counted"
    return {
        "verdict": entry["verdict"],
        **{name: said.get(entry["id"]) for name, said in elsewhere.items()},
        sentence: f"{entry['text']} ({entry['source']})",
        "how": compared,
        "effect [95 %]": _effect(finding),
        "n": None if counted else finding["effect"]["n"],
        "p": _p(entry["p"]),
        "p corrected": _p(entry["p_corrected"]),
        "detects": _smallest(entry["smallest"], finding),
    }


def _effect(finding: Mapping[str, Any]) -> str | None:
    """Such as "+2.1 [0.3, 3.9] points"."""
    if not finding:
        return None
    effect, unit = finding["effect"], finding["unit"]
    if effect["method"] == "counted":
        return f"{effect['estimate']:.3g} {unit}"
    digits = _digits(unit)
    low, high = (effect[bound] for bound in ("low", "high"))
    known = "" if low is None or high is None else f" [{low:.{digits}f}, {high:.{digits}f}]"
    return f"{effect['estimate']:+.{digits}f}{known} {unit}"


def _digits(unit: str) -> int:
    """Points are shown to a tenth, shares to a hundredth."""
    return 1 if unit == "points" else 2


def _smallest(value: float | None, finding: Mapping[str, Any]) -> str | None:
    return None if value is None else f"{value:.{_digits(finding['unit'])}f}"


def _p(value: float | None) -> str | None:
    if value is None:
        return None
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def clip(frames: np.ndarray, caption: str, *, pixels: int = 192, fps: float = 6) -> HTML:
    """A clip uint8 (T, H, W, 3) that moves on any page, until it is pressed: lossless WebP."""
    images = [
        Image.fromarray(frame).resize((pixels, pixels), Image.Resampling.NEAREST)
        for frame in frames
    ]
    moving, still = io.BytesIO(), io.BytesIO()
    images[0].save(
        moving,
        "webp",
        save_all=True,
        append_images=images[1:],
        duration=round(1000 / fps),
        loop=0,
        lossless=True,
    )
    images[0].save(still, "webp", lossless=True)
    name = html.escape(caption)
    other = (
        "this.querySelectorAll('img').forEach(i=>i.hidden=!i.hidden);"
        "this.ariaPressed=this.ariaPressed!='true'"
    )
    return HTML(
        f'<figure class="kd-clip"><button type="button" title="Stop or move" aria-pressed="false" '
        f'onclick="{other}">{_picture("kd-moving", name, moving)}'
        f"{_picture('kd-still', name, still, 'hidden')}</button>"
        f"<figcaption>{name}</figcaption></figure>"
    )


def _picture(kind: str, name: str, data: io.BytesIO, hidden: str = "") -> str:
    source = base64.b64encode(data.getvalue()).decode()
    return f'<img class="{kind}" alt="{name}" {hidden} src="data:image/webp;base64,{source}">'


def row(*parts: HTML) -> HTML:
    """Several of the above side by side; they wrap on narrow screens."""
    return HTML('<div class="kd-row">' + "".join(part.data for part in parts) + "</div>")


def slider(label: str, slides: dict[str, HTML]) -> HTML:
    """A slider over prepared slides, by the text that stands beside it; needs no kernel."""
    show_slide = (
        "const s=this.closest('.kd-slider'),e=[...s.querySelectorAll('.slide')];"
        "e.forEach((x,i)=>x.hidden=i!=this.value);"
        "s.querySelector('output').value=e[this.value].dataset.text"
    )
    body = "".join(
        f'<div class="slide" data-text="{html.escape(text)}" {"hidden" * bool(i)}>{part.data}</div>'
        for i, (text, part) in enumerate(slides.items())
    )
    return HTML(
        f'<div class="kd-slider"><label>{html.escape(label)} <input type="range" min="0" '
        f'max="{len(slides) - 1}" value="0" oninput="{show_slide}"></label>'
        f"<output>{html.escape(next(iter(slides)))}</output>{body}</div>"
    )
