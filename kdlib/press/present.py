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

from kdlib.press import reference
from kdlib.study import stamp
from kdlib.study.chapter import Chapter, MissingRuns

VERDICTS = ("supported", "contradicted", "inconclusive")


def show(chapter: Chapter, artifact: str) -> HTML:
    """A captioned artifact, trained for if need be; if that fails, the reason without traceback."""
    try:
        value = chapter.make(artifact)
    except MissingRuns as error:
        text = f"<strong>{html.escape(artifact)} was not made.</strong> {html.escape(str(error))}"
        return HTML(f'<div class="kd-failure">{text}</div>')
    title = chapter.study(artifact).title
    notes: list[str] = []
    others: dict[str, pd.DataFrame] = {}
    if isinstance(value, pd.DataFrame):
        elsewhere = reference.references(chapter.setting)
        others = reference.whole_tables(value, artifact, elsewhere)
        value, notes = reference.with_columns(value, artifact, elsewhere)
    body = figure(value, title) if isinstance(value, Figure) else table(value)
    source = stamp.artifact_text(chapter.setting, chapter.study(artifact).runs)
    lines = " ".join(html.escape(line) for line in (source, *notes))
    caption = (
        f"<figcaption>{html.escape(title)} <code>{html.escape(artifact)}</code><br>{lines}"
        "</figcaption>"
    )
    folded = "".join(
        f"<details><summary>{html.escape(note)}</summary>{table(other).data}</details>"
        for note, other in others.items()
    )
    return HTML(f'<figure class="kd-artifact">{body.data}{caption}{folded}</figure>')


def figure(value: Figure, title: str) -> HTML:
    """A matplotlib figure as an SVG image that text readers can name."""
    data = io.BytesIO()
    value.savefig(data, format="svg", bbox_inches="tight", metadata={"Date": None})
    source = base64.b64encode(data.getvalue()).decode()
    source = f"data:image/svg+xml;base64,{source}"
    return HTML(f'<img class="kd-figure" alt="{html.escape(title)}" src="{source}">')


def table(value: pd.DataFrame) -> HTML:
    """A table as HTML: verdicts become chips, missing cells a dash."""
    cells = value.map(_cell)
    cells.columns = [html.escape(str(column)).replace("|", "<br>") for column in cells.columns]
    body = cells.to_html(index=False, escape=False, border=0, classes="kd-table")
    return HTML(f'<div class="kd-scroll">{body}</div>')


def _cell(value: object) -> str:
    if value in VERDICTS:
        return f'<span class="verdict verdict-{value}">{value}</span>'
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return "–"
    return html.escape(f"{value:,}" if isinstance(value, float) else str(value))


def show_claims(chapter: Chapter) -> HTML:
    """The chapter's claims, checked: sentence, what was compared, effect with interval, verdict.

    Verdicts of reference results stand beside them, a column for each set of real data.
    """
    claims = [result.as_dict() for result in chapter.claims()]
    table = claims_table(claims, reference.verdicts(chapter))
    source = html.escape(stamp.chapter_text(chapter.setting, chapter.specs()))
    return HTML(
        f'<figure class="kd-artifact">{table.data}<figcaption>{source}</figcaption></figure>'
    )


def claims_table(
    claims: Sequence[Mapping[str, Any]], elsewhere: Mapping[str, Mapping[str, str]] | None = None
) -> HTML:
    """A table of claims as `claims.json` has them; elsewhere: verdicts by data set and sentence."""
    rows = []
    for claim in claims:
        finding = claim["finding"] or {}
        compared = ". ".join(filter(None, [finding.get("compared"), claim["reason"]]))
        rows.append(
            {
                "verdict": claim["verdict"],
                **{name: said.get(claim["text"]) for name, said in (elsewhere or {}).items()},
                "the paper says": f"{claim['text']} ({claim['source']})",
                "effect [95 %]": _effect(finding),
                "compared here": compared,
            }
        )
    return HTML(f'<div class="kd-claims">{table(pd.DataFrame(rows)).data}</div>')


def _effect(finding: Mapping[str, Any]) -> str:
    if not finding:
        return "–"
    effect = finding["effect"]
    if effect["method"] == "counted":
        return f"{effect['estimate']:.3g} {finding['unit']}"
    low, high = (effect[bound] for bound in ("low", "high"))
    bounds = "no interval" if low is None or high is None else f"{low:.1f}, {high:.1f}"
    return f"{effect['estimate']:+.1f} [{bounds}] {finding['unit']}, n={effect['n']}"


def clip(frames: np.ndarray, caption: str, *, pixels: int = 192, fps: float = 6) -> HTML:
    """A clip uint8 (T, H, W, 3) that moves on any page: an animated, lossless WebP image."""
    images = [
        Image.fromarray(frame).resize((pixels, pixels), Image.Resampling.NEAREST)
        for frame in frames
    ]
    data = io.BytesIO()
    images[0].save(
        data,
        "webp",
        save_all=True,
        append_images=images[1:],
        duration=round(1000 / fps),
        loop=0,
        lossless=True,
    )
    source = base64.b64encode(data.getvalue()).decode()
    name = html.escape(caption)
    return HTML(
        f'<figure class="kd-clip"><img alt="{name}" src="data:image/webp;base64,{source}">'
        f"<figcaption>{name}</figcaption></figure>"
    )


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
