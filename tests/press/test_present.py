import io

import numpy as np
import pandas as pd
from PIL import Image

from kdlib.press import present
from kdlib.study.chapter import Chapter
from kdlib.study.setting import Setting


def test_a_table_escapes_its_cells_and_marks_verdicts():
    shown = present.table(
        pd.DataFrame({"a|b": ["<script>", "supported"], "c": [1.5, float("nan")]})
    ).data
    assert "<script>" not in shown
    assert '<span class="verdict verdict-supported">supported</span>' in shown
    assert "a<br>b" in shown
    assert "–" in shown


def test_a_clip_moves_and_is_lossless():
    import base64

    frames = np.random.default_rng(0).integers(0, 255, (4, 8, 8, 3), dtype=np.uint8)
    data = present.clip(frames, "a & b", pixels=16).data
    assert "a &amp; b" in data
    image = Image.open(io.BytesIO(base64.b64decode(data.split("base64,")[1].split('"')[0])))
    assert image.n_frames == 4
    image.seek(2)
    assert np.array_equal(np.asarray(image.convert("RGB"))[::2, ::2], frames[2])


def test_a_slider_shows_its_first_slide_and_needs_no_kernel():
    shown = present.slider("size", {"8 px": present.HTML("<p>A</p>"), "4 px": present.HTML("B")})
    assert shown.data.count('class="slide"') == 2
    assert shown.data.count(" hidden>") == 1
    assert 'max="1"' in shown.data
    assert "<output>8 px</output>" in shown.data


def test_a_shown_artifact_says_where_it_is_from(tmp_path, monkeypatch):
    where = {"store": str(tmp_path / "s"), "results": str(tmp_path / "r")}
    given = {"dataset": "image:cifar100", "data": str(tmp_path)}
    chapter = Chapter("resolution", Setting(profile="smoke", **given, **where))
    monkeypatch.setattr(chapter, "make", lambda name: pd.DataFrame({"a": [1]}))
    shown = present.show(chapter, "reskd/targets").data
    assert "From generated clips; profile smoke, 2 seeds. These numbers are no evidence" in shown
    assert "cifar100" not in shown
    assert "nothing was trained for it." in present.show(chapter, "reskd/true-size").data
