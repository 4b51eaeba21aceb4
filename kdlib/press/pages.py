"""What the book's pages need beside Sphinx: openings that are folded, and names for screen readers.

The rules are those of WCAG 2.1 AA, where the theme and Sphinx leave something to be done.
"""

import json
import re

OPENS = "open_chapter("
PROMPTS = {"injected-parameters": "The parameters of this copy", OPENS: "How the chapter is opened"}


def folded(notebook: bytes) -> bytes:
    """An executed notebook whose opening cells show a line each; its default parameters are out.

    They are the cell tagged `parameters`, which one with those of this copy follows, and the cell
    that calls `open_chapter`.
    """
    content = json.loads(notebook)
    tagged = [cell["metadata"].get("tags", []) for cell in content["cells"]]
    injected = any("injected-parameters" in tags for tags in tagged)
    for cell in content["cells"]:
        tags = cell["metadata"].setdefault("tags", [])
        if "parameters" in tags and injected:
            tags.append("remove-cell")
        for mark, prompt in PROMPTS.items():
            if mark in tags or (cell["cell_type"] == "code" and mark in "".join(cell["source"])):
                tags.append("hide-input")
                prompts = {"code_prompt_show": prompt, "code_prompt_hide": prompt}
                cell["metadata"]["mystnb"] = prompts
    return json.dumps(content, indent=1, ensure_ascii=False).encode()


def accessible(page: str) -> str:
    """A page of the site, with names and roles where it has none."""
    for found, wanted in _RULES:
        page = re.sub(found, wanted, page)
    return _SIGNATURE.sub(_as_list, page)


# What unfolds a chapter in the sidebar, the sidebar itself, equations wider than the screen, and
# the roles of Sphinx's citations, which are out of date.
_RULES = (
    (r"<summary>(?=<span class=\"toctree-toggle\")", '<summary aria-label="Its pages">'),
    (
        r'<div id="pst-primary-sidebar" class',
        '<div id="pst-primary-sidebar" role="complementary" aria-label="The book" class',
    ),
    (r'<div class="math notranslate', '<div tabindex="0" class="math notranslate'),
    (r'<div role="list" class="citation-list">', '<div class="citation-list">'),
    (r' role="doc-biblioentry"', ""),
)
# The parameters of a signature, one a line: a list of descriptions of nothing.
_SIGNATURE = re.compile(r"<dl>\n<dd>.*?</dl>", re.DOTALL)


def _as_list(found: re.Match[str]) -> str:
    return found[0].replace("<dl>", '<dl role="list">').replace("<dd>", '<dd role="listitem">')
