import io
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from kdlib.analysis.plots import panels
from kdlib.analysis.statistics import compare
from kdlib.errors import UserError
from kdlib.press import present
from kdlib.study.chapter import Chapter
from kdlib.study.checks import Finding
from kdlib.study.claims import Entry, judged
from kdlib.study.readings import Reading
from kdlib.study.setting import Setting


def test_a_table_escapes_its_cells_and_marks_verdicts():
    shown = present.table(
        pd.DataFrame({"a|b": ["<script>", "supported"], "c": [1.5, float("nan")]})
    ).data
    chip = '<span class="verdict verdict-not-testable-here">not testable here</span>'
    assert chip in present.table(pd.DataFrame({"a": ["not testable here"]})).data
    assert "<script>" not in shown
    assert '<span class="verdict verdict-supported">supported</span>' in shown
    assert "–" in shown


def test_a_clip_moves_and_is_lossless():
    import base64

    frames = np.random.default_rng(0).integers(0, 255, (4, 8, 8, 3), dtype=np.uint8)
    data = present.clip(frames, "a & b", pixels=16).data
    assert "a &amp; b" in data
    image, still = (
        Image.open(io.BytesIO(base64.b64decode(part.split('"')[0])))
        for part in data.split("base64,")[1:]
    )
    assert (image.n_frames, still.n_frames) == (4, 1)
    image.seek(2)
    assert np.array_equal(np.asarray(image.convert("RGB"))[::2, ::2], frames[2])


def test_a_slider_shows_its_first_slide_and_needs_no_kernel():
    shown = present.slider("size", {"8 px": present.HTML("<p>A</p>"), "4 px": present.HTML("B")})
    assert shown.data.count('class="slide"') == 2
    assert shown.data.count(" hidden>") == 1
    assert 'max="1"' in shown.data
    assert "<output>8 px</output>" in shown.data


def read(value, records):
    """A reading of a table."""
    return Reading(f"Found <{value.a[0]}>")


def test_a_shown_artifact_says_where_it_is_from(tmp_path, monkeypatch):
    where = {"store": str(tmp_path / "s"), "results": str(tmp_path / "r")}
    given = {"dataset": "image:cifar100", "data": str(tmp_path)}
    chapter = Chapter("resolution", Setting(profile="smoke", **given, **where))
    monkeypatch.setattr(chapter, "records", lambda name: {})
    monkeypatch.setattr(chapter, "write", lambda name, records: pd.DataFrame({"a": [1]}))
    chapter.studies = {n: replace(s, read=read) for n, s in chapter.studies.items()}
    shown = present.show(chapter, "reskd/targets").data
    assert shown.index("<figcaption>") < shown.index("targets.csv") < shown.index("Found &lt;1&gt;")
    assert "From generated clips; profile smoke, 2 seeds. These numbers are no evidence" in shown
    assert "cifar100" not in shown.split("</figcaption>")[0]
    assert "nothing was trained for it." in present.show(chapter, "reskd/true-size").data


def test_what_a_lesson_makes_of_runs_says_which_data_they_are_of(tmp_path):
    chapter = Chapter("resolution", Setting(profile="smoke", store=str(tmp_path)))
    shown = present.stamped(chapter, present.HTML("<p>A</p>"), "reskd/targets", "reskd/resolutions")
    body, caption = shown.data.split("<figcaption>")
    assert body == '<figure class="kd-artifact"><p>A</p>'
    assert caption.startswith("From generated clips; profile smoke, 1 seed. These numbers are no")


def test_a_figure_says_what_was_found_to_those_who_do_not_see_it(tmp_path, monkeypatch):
    where = {"store": str(tmp_path / "s"), "results": str(tmp_path / "r")}
    chapter = Chapter("resolution", Setting(profile="smoke", **where))
    drawn, _ = panels()
    monkeypatch.setattr(chapter, "records", lambda name: {})
    monkeypatch.setattr(chapter, "write", lambda name, records: drawn)
    name = "reskd/resolution-sweep"
    study = replace(chapter.studies[name], title="A", read=lambda v, r: Reading("B <c>"))
    chapter.studies[name] = study
    assert 'class="kd-figure kd-drawn" alt="A. B &lt;c&gt;"' in present.show(chapter, name).data
    drawn.axes[0].imshow(np.zeros((2, 2)))
    assert 'class="kd-figure" alt=' in present.show(chapter, name).data


def results():
    """A control that fails, a sentence that rests on it, one that does not, and a comparison."""
    up = Finding.measured(compare([1.0, 1.1, 0.9]), "A against B")
    down = Finding.measured(compare([-1.0, -1.2, -0.9]), "C against D")
    saved = Finding.measured(compare([0.5, 0.51, 0.55]), "time", "of the time")
    entries = [
        Entry("control", "p/c", "There is <something>", "check"),
        Entry("claim", "p/1", "One", "check", "Table 1", ("p/c",)),
        Entry("claim", "p/2", "Two", "check", "Table 2"),
        Entry("claim", "p/3", "Three", "check", "Table 3"),
        Entry("comparison", "p/4", "Four", "check"),
    ]
    counted = Finding.counted(0, "parameters added", "supported", "counted")
    found = {"p/c": down, "p/1": up, "p/2": counted, "p/3": "its runs failed", "p/4": saved}
    return [result.as_dict() for result in judged(entries, found)]


def cells(text):
    """The texts of a table without their markup."""
    rows = [
        [re.sub("<.*?>", "", cell) for cell in re.findall("<t[hd].*?>(.*?)</t[hd]>", row)]
        for row in re.findall("<tr.*?</tr>", text, re.DOTALL)
    ]
    return pd.DataFrame(rows[1:], columns=rows[0])


def test_what_real_data_do_not_allow_is_said_and_a_slip_is_not(tmp_path):
    given = {"dataset": "target:jhmdb21", "data": str(tmp_path), "store": str(tmp_path / "s")}
    chapter = Chapter("adaptive", Setting(profile="smoke", **given))
    assert "needs generated clips" in present.show(chapter, "sakd/regimes").data
    with pytest.raises(UserError, match="sakd/regime-nubers"):
        present.show(chapter, "sakd/regime-nubers")


def test_entries_stand_under_three_headings_with_all_that_makes_the_verdict():
    shown = present.claims_tables(results(), {"A set": {"p/1": "supported"}}).data
    headings = ["Positive controls", "The paper's sentences", "The book's own comparisons"]
    assert re.findall("<h3>(.*?)</h3>", shown) == headings
    controls, claims, own = map(cells, re.findall("<table.*?</table>", shown, re.DOTALL))
    columns = ["how", "effect [95 %]", "n", "p", "p corrected", "detects"]
    assert list(claims) == ["verdict", "A set", "the paper says", *columns]
    assert list(controls)[2] == "must hold"
    assert controls["verdict"][0] == "contradicted"
    assert claims["verdict"].tolist() == ["not testable here", "supported", "inconclusive"]
    assert claims["A set"].tolist() == ["supported", "–", "–"]
    assert claims["how"][0] == "A against B. it requires p/c, which does not hold"
    assert claims["effect [95 %]"].tolist() == ["+1.0 [0.8, 1.2] points", "0 parameters added", "–"]
    assert claims["n"].tolist() == ["3", "–", "–"]
    assert own["effect [95 %]"][0] == "+0.52 [0.45, 0.59] of the time"
    assert own["detects"][0] == "0.09"
    assert "&lt;something&gt; (this book)" in shown


def test_a_kind_of_which_there_is_none_has_no_heading():
    shown = present.claims_tables([r for r in results() if r["kind"] == "claim"]).data
    assert re.findall("<h3>(.*?)</h3>", shown) == ["The paper's sentences"]
