import json

from kdlib.press.pages import accessible, folded


def cell(kind, source, *tags):
    return {"cell_type": kind, "source": [source], "metadata": {"tags": list(tags)}}


def tags(notebook):
    return [
        c["metadata"]["tags"] for c in json.loads(folded(json.dumps(notebook).encode()))["cells"]
    ]


def test_a_lesson_opens_with_a_line_for_each_opening_cell():
    cells = [
        cell("markdown", "# How open_chapter( works"),
        cell("code", "profile = 'laptop'", "parameters"),
        cell("code", "profile = 'smoke'", "injected-parameters"),
        cell("code", "chapter = open_chapter('a', profile)"),
        cell("code", "show(chapter, 'a/b')"),
    ]
    found = tags({"cells": cells})
    assert found[0] == found[4] == []
    assert "remove-cell" in found[1]
    assert "hide-input" in found[2]
    assert "hide-input" in found[3]
    # By hand nothing is injected, and the defaults are what was used.
    del cells[2]
    assert tags({"cells": cells})[1] == ["parameters"]


def test_signatures_are_lists_and_lists_of_descriptions_stay():
    page = "<dl>\n<dd><em>a</em></dd>\n<dd><em>b</em></dd>\n</dl><dl><dt>c</dt><dd>d</dd></dl>"
    assert accessible(page) == (
        '<dl role="list">\n<dd role="listitem"><em>a</em></dd>\n'
        '<dd role="listitem"><em>b</em></dd>\n</dl><dl><dt>c</dt><dd>d</dd></dl>'
    )
