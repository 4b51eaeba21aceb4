"""The notebooks as texts: what stands before an artifact, below it, and in code that draws."""

import ast
import json
import re

import pytest

from kdlib.study.chapter import BOOK

LESSONS = {
    f"{path.parent.name}/{path.stem}": json.loads(path.read_text(encoding="utf-8"))["cells"]
    for path in sorted(BOOK.glob("*/*.ipynb"))
}
# Outputs that bring a look of their own, and which of them say which data they are of.
STAMPED = {"show", "show_claims", "stamped"}
STYLED = STAMPED | {"table", "figure", "row", "slider", "clip"}
DRAWN = {"rand", "randn", "randint", "randperm", "multinomial"}
every_lesson = pytest.mark.parametrize("cells", LESSONS.values(), ids=LESSONS)


def text(cell):
    return "".join(cell["source"])


def code(cells):
    """The code cells as trees, by their place."""
    return {
        place: ast.parse(text(cell))
        for place, cell in enumerate(cells)
        if cell["cell_type"] == "code"
    }


def called(node):
    """The name of the function that a call calls, without what it is of."""
    function = node.func if isinstance(node, ast.Call) else None
    return getattr(function, "attr", getattr(function, "id", ""))


def calls(tree, *names):
    return [node for node in ast.walk(tree) if called(node) in names]


def output(tree):
    """The expression whose value a cell shows; None if there is none."""
    last = tree.body[-1] if tree.body else None
    return last.value if isinstance(last, ast.Expr) else None


def cells_of(*sources):
    return [{"cell_type": "code", "source": [source]} for source in sources]


# Prose


def sentences(markdown):
    """How many sentences there are besides headings, formulas and tables."""
    prose = re.sub(r"\$\$[^$]*\$\$|^[#|].*$", "", markdown, flags=re.MULTILINE)
    return len(re.findall(r"\S[.?!]\W?(?=\s|\Z)", prose))


def unexplained(cells):
    """Which artifacts are shown without two sentences right before them."""
    return [
        call.args[1].value
        for place, tree in code(cells).items()
        for call in calls(tree, "show")
        if cells[place - 1]["cell_type"] != "markdown" or sentences(text(cells[place - 1])) < 2
    ]


@every_lesson
def test_two_sentences_stand_before_each_artifact(cells):
    assert unexplained(cells) == []


@pytest.mark.parametrize(
    ("markdown", "count"),
    [
        ("## A title. Of two\n\nOne.", 1),
        ("One varies, by 0.5 a row. Look at the last column: is it above?", 2),
        ("$$\na. b.\n$$\nOne, *two.*", 1),
        ("| a. | b. |\nEither of them (*a*).", 1),
        ("The numbers (Table 1).\nLook whether they rise.", 2),
    ],
)
def test_sentences_are_counted(markdown, count):
    assert sentences(markdown) == count


@pytest.mark.parametrize(
    ("lesson", "name", "meaning"),
    [
        ("adaptive/02-methods-and-controls", "DKD", "decoupled"),
        ("adaptive/02-methods-and-controls", "CTKD", "curriculum temperature"),
        ("adaptive/02-methods-and-controls", "GKD", "generative"),
        ("adaptive/02-methods-and-controls", "CrossKD", "cross-head"),
        ("adaptive/03-ablations", "DPP", "determinantal point process"),
        ("adaptive/03-ablations", "CrossKD", "sends the student's features through"),
        ("adaptive/03-ablations", "GT+Teac.", "ground truth"),
        ("resolution/03-resolution-and-cost", "TSN", "temporal segment network"),
        ("resolution/03-resolution-and-cost", "TSM", "temporal shift module"),
    ],
)
def test_a_name_is_explained_where_it_stands_first(lesson, name, meaning):
    prose = [" ".join(text(c).split()) for c in LESSONS[lesson] if c["cell_type"] == "markdown"]
    first = next(part for part in prose if re.search(rf"(?<!\w){re.escape(name)}", part))
    assert meaning in first.replace("*", "").replace("\n", " ")


# Outputs


def shower(node):
    """By which function of `kdlib.press.present` something is shown; "" for another one."""
    name = ast.unparse(node.func).removeprefix("present.") if isinstance(node, ast.Call) else ""
    return name if name in STYLED else ""


def unstyled(cells):
    """The outputs of a look of their own, such as plain data frames, which are cut on a page."""
    shown = filter(None, map(output, code(cells).values()))
    return [ast.unparse(each) for each in shown if not shower(each) and called(each) != "print"]


@every_lesson
def test_every_output_has_the_look_of_the_book(cells):
    assert unstyled(cells) == []


@pytest.mark.parametrize("source", ["table", "lesson.table(x)", "x.head()", "x[0]"])
def test_outputs_of_another_look_are_seen(source):
    assert unstyled(cells_of(source)) == [source]
    assert unstyled(cells_of("print(x)", "present.table(x)", "x = 1", "row(*x)")) == []


def unstamped(cells):
    """The outputs that are made of the chapter's data or runs, and do not say which they are."""
    made_of, found = {"open_chapter", "chapter"}, []
    for tree in code(cells).values():
        for node in tree.body:
            made_of = made_of | stored(node) if read(node) & made_of else made_of - stored(node)
        shown = output(tree)
        if shown and read(shown) & made_of and shower(shown) not in STAMPED:
            found.append(ast.unparse(shown))
    return found


def read(node):
    """The names that a statement reads."""
    return {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}


def stored(node):
    """The names that it sets, as a whole or an item of them."""
    places = [n for n in ast.walk(node) if isinstance(getattr(n, "ctx", None), ast.Store)]
    roots = {ast.unparse(place).partition("[")[0] for place in places}
    return {root for root in roots if root.isidentifier()}


@every_lesson
def test_what_is_made_of_the_chapter_says_which_data_it_is_of(cells):
    assert unstamped(cells) == []


@pytest.mark.parametrize(
    ("sources", "found"),
    [
        (["show(chapter, 'a')", "x = chapter.records('a')", "present.stamped(chapter, x)"], []),
        (["x = chapter.records('a')\ny = x[0]", "present.table(y)"], ["present.table(y)"]),
        (["for y in chapter.studies:\n    z = y", "figure(z)"], ["figure(z)"]),
        (["x = {}\nfor y in chapter.studies:\n    x[y] = y", "slider(x)"], ["slider(x)"]),
        (["x = chapter.records('a')", "x = 1", "table(x)"], []),
        (["table(lesson.errors())"], []),
    ],
)
def test_outputs_without_a_stamp_are_seen(sources, found):
    assert unstamped(cells_of(*sources)) == found


# Draws


def unseeded(cells):
    """Draws that give other values each time: no seed before them, no generator."""
    seeded, found = False, []
    for tree in code(cells).values():
        for node in sorted(ast.walk(tree), key=lambda n: getattr(n, "lineno", 0)):
            name = called(node)
            seeded = seeded or name == "manual_seed"
            given = isinstance(node, ast.Call) and (node.args or node.keywords)
            of_torch = isinstance(node, ast.Call) and ast.unparse(node.func).startswith("torch.")
            own = of_torch and any(k.arg == "generator" for k in node.keywords)
            if (name == "default_rng" and not given) or (
                of_torch and name in DRAWN and not seeded and not own
            ):
                found.append(ast.unparse(node))
    return found


@every_lesson
def test_draws_are_seeded(cells):
    assert unseeded(cells) == []


@pytest.mark.parametrize(
    ("sources", "count"),
    [
        (["x = torch.randn(2)"], 1),
        (["x = torch.randn(2)\ntorch.manual_seed(0)"], 1),
        (["torch.manual_seed(0)", "x = torch.randn(2)"], 0),
        (["x = torch.randint(2, (3,), generator=g)"], 0),
        (["x = np.random.default_rng().normal()"], 1),
        (["x = np.random.default_rng(0).normal()"], 0),
    ],
)
def test_draws_without_a_seed_are_seen(sources, count):
    assert len(unseeded(cells_of(*sources))) == count
