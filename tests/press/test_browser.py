"""Pages as a reader sees them: a small book with the widest tables, in a real browser.

It needs a Chromium of the system's (Debian's package `chromium`); none is downloaded.
"""

import shutil
from pathlib import Path

import pytest

from kdlib.study.claims import VERDICTS
from tests.press.made_up import REAL, WIDE, build

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt-get install chromium"),
]
A4 = 718  # CSS pixels between margins of 10 mm


@pytest.fixture(scope="module")
def book(tmp_path_factory) -> Path:
    """The site's folder, moved away from where it was built."""
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "book"
    return build(tmp_path_factory.mktemp("built"), elsewhere)


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

    def look(name, width, media="screen", theme="light"):
        page = browser.new_page(viewport={"width": width, "height": 900})
        opened.append(page)
        page.emulate_media(media=media)
        for key in ("mode", "theme"):
            page.add_init_script(f"localStorage.setItem('{key}', '{theme}')")
        page.goto((book / name).as_uri())
        assert page.evaluate("document.documentElement.dataset.theme") == theme
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
    assert REAL in page.locator(".kd-claims thead").first.inner_text()
    assert cut(page) == []


def test_sentences_have_room_beside_verdicts_of_other_data(look):
    cells = look(VERDICTS_PAGE, 1280).locator(".kd-claims td[data-label='must hold']")
    assert cells.evaluate_all("all => Math.min(...all.map(c => c.clientWidth))") >= 140


def test_code_is_not_cut_on_a_desktop(look):
    code = look(LESSON, 1280).locator("div.cell_input pre")
    widths = code.evaluate_all("all => all.map(p => [p.scrollWidth, p.clientWidth])")
    assert len(widths) > 1
    assert [needed for needed, room in widths if needed > room] == []


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
    labels = (
        page.locator(".kd-claims tbody tr")
        .first.locator("td")
        .evaluate_all("all => all.map(c => getComputedStyle(c, '::before').content)")
    )
    assert labels[:3] == [f'"{REAL}"', '"must hold"', '"how"']


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
    assert lines.count() == 5
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


def test_in_the_dark_drawings_are_inverted_and_pictures_are_not(look):
    page = look(LESSON, 1280, theme="dark")
    style = "all => all.map(i => [getComputedStyle(i).filter, getComputedStyle(i).backgroundColor])"
    drawn = page.locator("img.kd-drawn").evaluate_all(style)
    pictures = page.locator("img.kd-figure:not(.kd-drawn)").evaluate_all(style)
    clips = page.locator(".kd-clip img").evaluate_all(style)
    assert ["invert" in kind for kind, _ in drawn] == [True]
    # Pictures keep their colours, on a panel of their own; clips need none.
    assert pictures == [["none", "rgb(255, 255, 255)"]]
    assert clips == [["none", "rgba(0, 0, 0, 0)"]] * 2


def test_text_stands_left_and_numbers_right(look):
    page = look(LESSON, 1280)
    sides = page.locator(".kd-scroll").first.locator("tbody tr").first.locator("th, td")
    found = sides.evaluate_all("all => all.slice(0, 4).map(c => getComputedStyle(c).textAlign)")
    assert found[:2] == ["left", "left"]
    assert found[3] == "right"


PAGES = ["index.html", "references.html", "resolution/index.html", LESSON, VERDICTS_PAGE]


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize(("theme", "width"), [("light", 1280), ("dark", 1280), ("light", 390)])
def test_axe_finds_no_serious_fault(look, name, theme, width):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page = look(name, width, theme=theme)
    # Style sheets cannot be loaded a second time from a file.
    found = axe.run(page, options={"preload": False}).response["violations"]
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
