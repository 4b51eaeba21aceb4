"""Pages as a reader sees them: a small book with the widest tables, in a real browser.

It needs a Chromium of the system's (Debian's package `chromium`); none is downloaded.
"""

import shutil
from pathlib import Path
from types import SimpleNamespace

import nbformat
import numpy as np
import pandas as pd
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from kdlib.analysis.plots import panels
from kdlib.analysis.statistics import Interval
from kdlib.press import evidence, present, site
from kdlib.press.notebooks import ROOT
from kdlib.study.chapter import Chapter, Study
from kdlib.study.claims import VERDICTS
from kdlib.study.readings import Reading
from kdlib.study.setting import Setting

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt-get install chromium"),
]

WIDE = "reskd/targets"  # three pairs of networks, five columns each, as Table 5 of SAKD
RESULTS = "reskd/batchnorm"  # a results table with real data beside it
FIGURE = "reskd/resolution-sweep"
LONG = f"show(chapter, {'a' * 60!r})"  # as long as lines of code may be
A4 = 718  # CSS pixels between margins of 10 mm


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
        "JHMDB-21|top-1 %": accuracy(),
        "JHMDB-21|gain": gain(),
        "n": 5,
        "MMACs": 1234.18,
        "train s": 18.5,
        "chosen %": 21.4,
    }
    return pd.DataFrame([{"training": name, "px": 24, **cells} for name in names])


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


def record(seed):
    return SimpleNamespace(
        path=Path(f"runs/{seed:024x}"),
        spec=SimpleNamespace(title=f"resolution target=pixel, tsn 48 px, seed {seed}", seed=seed),
        result={"last": {"score": 0.723}, "cost": {"seconds": 18.5}},
        environment={
            "device": "Some Processor (R) of 2.40 GHz",
            "commit": "0123456789ab",
            "finished": "2026-01-02T03:04:05",
        },
    )


@pytest.fixture(scope="module")
def book(tmp_path_factory) -> Path:
    """The site's folder, moved away from where it was built."""
    folder = tmp_path_factory.mktemp("built")
    setting = Setting(profile="smoke", store=str(folder / "s"), results=str(folder / "r"))
    chapter = Chapter("resolution", setting)
    figure, _ = panels(columns=3, width=9, height=3)
    values = {WIDE: wide_table(), RESULTS: results_table(), FIGURE: figure}
    reading = Reading("Ours gains +2.1 points.", "It had room.", "Ten seeds.")
    shown, files = [], {}
    for name, value in values.items():
        study = Study(name, "A title", lambda records: None)
        body = present.figure(value, "A title") if name == FIGURE else present.table(value)
        below = evidence.below(
            chapter, study, value, reading, {("feature", 24): [record(0), record(1)]}
        )
        shown.append(f'<figure class="kd-artifact">{body.data}</figure>{below}')
        ends = ("svg", "png", "json") if name == FIGURE else ("csv", "tex", "json")
        files |= {f"{evidence.FOLDER}/{name}.{end}": f"{name} {end}".encode() for end in ends}
    frames = np.zeros((3, 8, 8, 3), dtype=np.uint8)
    shown.append(present.row(present.clip(frames, "a clip")).data)
    claims = [entry(kind, v) for kind in ("control", "claim") for v in VERDICTS]
    shown.append(f"{present.claims_tables(claims).data}{evidence.of_claims(chapter)}")
    files[f"{evidence.FOLDER}/{chapter.claims_name}.json"] = b"[]"
    source = folder / "book"
    (source / "resolution").mkdir(parents=True)
    (source / "_site").symlink_to(ROOT / "book" / "_site")
    (source / "index.md").write_text("# The book\n")
    (source / "references.bib").write_text("@misc{kd, title={A}, author={B, C}, year={2015}}\n")
    (source / "references.md").write_text("# Papers\n\n```{bibliography}\n:all:\n```\n")
    formula = "$$ \\sum_k " + "+ q_k " * 40 + "$$"
    (source / "resolution" / "index.md").write_text(
        f"# Resolution\n\nText {{cite:p}}`kd`.\n\n{formula}\n\n| a | b |\n|---|---|\n| 1 | 2 |\n"
    )
    outputs = [new_output("display_data", data={"text/html": text}) for text in shown]
    cells = [
        new_markdown_cell("# Tables"),
        *(new_code_cell("show()", outputs=[o]) for o in outputs),
    ]
    lesson = folder / "01-tables.ipynb"
    language = {"language_info": {"name": "python", "pygments_lexer": "ipython3"}}
    cells.insert(0, new_markdown_cell("# Tables"))
    nbformat.write(new_notebook(cells=cells, metadata=language), lesson)
    pages = {"verdicts": f"# All verdicts\n\n{present.claims_tables(claims).data}\n"}
    site.build(
        source, {"resolution": [lesson]}, folder / "site", title="A book", stamp="Made up",
        extra_pages=pages, attached=files, strict=True,
    )  # fmt: skip
    return Path(shutil.move(folder / "site", tmp_path_factory.mktemp("elsewhere") / "book"))


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as api:
        browser = api.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def look(browser, book):
    """Opens a page of the book in a window of a width."""
    opened = []

    def look(name, width, media="screen"):
        page = browser.new_page(viewport={"width": width, "height": 900})
        opened.append(page)
        page.emulate_media(media=media)
        page.goto((book / name).as_uri())
        return page

    yield look
    for page in opened:
        page.close()


LESSON, VERDICTS_PAGE = "resolution/01-tables.html", "verdicts.html"
CUT = """boxes => boxes.filter(b => b.checkVisibility()).filter(b => {
  const table = b.querySelector("table").getBoundingClientRect();
  return b.scrollWidth > b.clientWidth || table.right > innerWidth + 1;
}).map(b => b.innerText.slice(0, 60) + " " + b.scrollWidth + " in " + b.clientWidth)"""


def cut(page):
    """Tables of which a part is out of sight."""
    boxes = page.locator(".kd-scroll")
    assert boxes.count() >= 2
    return boxes.evaluate_all(CUT)


@pytest.mark.parametrize("name", [LESSON, VERDICTS_PAGE])
@pytest.mark.parametrize("width", [1280, 1920])
def test_no_table_is_cut_on_a_desktop(look, name, width):
    page = look(name, width)
    page.locator("details.kd-runs").evaluate_all("all => all.forEach(d => d.open = true)")
    assert cut(page) == []


@pytest.mark.parametrize("name", ["index.html", "resolution/index.html", LESSON, VERDICTS_PAGE])
def test_no_page_moves_sideways_on_a_telephone(look, name):
    page = look(name, 390)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_a_wide_table_moves_below_its_first_column_on_a_telephone_and_says_so(look):
    page = look(LESSON, 390)
    box = page.locator(".kd-scroll").first
    said = box.evaluate("b => getComputedStyle(b, '::before').content")
    assert "sideways" in said
    ends = box.evaluate("b => [b.scrollLeft = b.scrollWidth, b.scrollLeft]")
    assert ends[1] > 100
    offsets = box.evaluate(
        "b => [...b.querySelectorAll('tbody tr > :first-child')]"
        ".map(c => c.getBoundingClientRect().left - b.getBoundingClientRect().left)"
    )
    assert max(map(abs, offsets)) < 1


def test_sentences_are_stacked_on_a_telephone(look):
    page = look(VERDICTS_PAGE, 390)
    assert cut(page) == []
    label = page.locator(".kd-claims td").first.evaluate(
        "c => getComputedStyle(c,'::before').content"
    )
    assert label == '"the paper says"' or label == '"must hold"'


@pytest.mark.parametrize("name", [LESSON, VERDICTS_PAGE])
def test_nothing_is_cut_in_print(look, name):
    page = look(name, A4, "print")
    assert cut(page) == []
    overflow = page.locator(".kd-scroll, .cell_output").evaluate_all(
        "all => [...new Set(all.map(b => getComputedStyle(b).overflowX))]"
    )
    assert overflow == ["visible"]
    assert (
        page.locator("pre").evaluate_all(
            "all => all.filter(p => p.scrollWidth > p.clientWidth).length"
        )
        == 0
    )
    wide = page.locator("img").evaluate_all(
        "all => all.filter(i => i.getBoundingClientRect().right > innerWidth).length"
    )
    assert wide == 0


def test_each_artifact_leads_to_its_files_command_and_runs(look, book):
    page = look(LESSON, 1280)
    lines = page.locator(".kd-evidence")
    assert lines.count() == 4
    for line in lines.all():
        links = line.locator("a")
        assert links.first.is_visible()
        for link in links.all():
            target = book / "resolution" / link.get_attribute("href")
            assert target.resolve().is_file(), target
        assert "make reproduce CHAPTERS=resolution PROFILE=smoke" in line.inner_text()
    assert f"python -m kdlib explain {WIDE}" in lines.first.inner_text()
    texts = lines.first.locator("a").all_inner_texts()
    assert texts == ["CSV", "LaTeX", "JSON"]
    runs = page.locator("details.kd-runs").first
    runs.locator("summary").click()
    for text in (f"{1:024x}", "0123456789ab", "2026-01-02", "Some Processor", "72.3"):
        assert runs.get_by_text(text, exact=False).first.is_visible()


def test_each_artifact_says_what_was_found(look):
    box = look(LESSON, 1280).locator(".kd-reading").first
    text = box.inner_text()
    for part in ("What was found. Ours", "Why. It had room", "To see more. Ten seeds"):
        assert part in text


def test_chips_have_words_and_colours(look):
    page = look(VERDICTS_PAGE, 1280)
    chips = page.locator(".verdict")
    assert {chip.inner_text() for chip in chips.all()} == set(VERDICTS)
    colours = chips.evaluate_all("all => all.map(c => getComputedStyle(c).backgroundColor)")
    assert len(set(colours)) == len(VERDICTS)


def test_text_stands_left_and_numbers_right(look):
    page = look(LESSON, 1280)
    sides = page.locator(".kd-scroll").first.locator("tbody tr").first.locator("th, td")
    found = sides.evaluate_all("all => all.slice(0, 4).map(c => getComputedStyle(c).textAlign)")
    assert found[:2] == ["left", "left"]
    assert found[3] == "right"


PAGES = ["index.html", "references.html", "resolution/index.html", LESSON, VERDICTS_PAGE]


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize(("theme", "width"), [("light", 1280), ("dark", 1280), ("light", 390)])
def test_axe_finds_no_serious_fault(browser, book, name, theme, width):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page = browser.new_page(viewport={"width": width, "height": 900})
    page.add_init_script(f"localStorage.setItem('mode', '{theme}')")
    page.add_init_script(f"localStorage.setItem('theme', '{theme}')")
    page.goto((book / name).as_uri())
    assert page.evaluate("document.documentElement.dataset.theme") == theme
    # Style sheets cannot be loaded a second time from a file.
    found = axe.run(page, options={"preload": False}).response["violations"]
    page.close()
    grave = [v for v in found if v["impact"] in ("serious", "critical")]
    assert grave == [], [(v["id"], v["nodes"][0]["html"][:200]) for v in grave]


@pytest.mark.parametrize("name", PAGES)
def test_pages_load_nothing_from_elsewhere_and_say_no_error(browser, book, name):
    page = browser.new_page()
    said, asked = [], []
    page.on("console", lambda m: said.append(m.text) if m.type == "error" else None)
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda r: asked.append(r.url))
    page.on("requestfailed", lambda r: said.append(r.url))
    page.goto((book / name).as_uri())
    page.wait_for_load_state("networkidle")
    page.close()
    assert said == []
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []


def test_a_clip_stops_when_it_is_pressed_and_for_whom_motion_is_too_much(look):
    page = look(LESSON, 1280)
    button = page.locator(".kd-clip button")
    moving, still = page.locator(".kd-moving"), page.locator(".kd-still")
    for pressed in (False, True, False):
        assert (moving.is_visible(), still.is_visible()) == (not pressed, pressed)
        button.press("Enter")
    page.reload()
    page.emulate_media(reduced_motion="reduce")
    for pressed in (False, True):
        assert (moving.is_visible(), still.is_visible()) == (pressed, not pressed)
        button.click()


def test_print_says_where_its_numbers_are_from(look):
    assert look(LESSON, A4, "print").get_by_text("Made up").first.is_visible()
