"""Sphinx settings of the book. `kdlib.press.site` copies it beside the pages, adds the rest."""

import contextlib
import inspect
import json
import re
from inspect import Parameter, Signature
from pathlib import Path
from typing import get_type_hints

from sphinx.util.inspect import stringify_signature

from kdlib.press.library import restructured

extensions = ["myst_nb", "sphinx_design", "sphinx_copybutton"]
exclude_patterns = ["_static"]
templates_path = ["_templates"]

# papermill has executed the notebooks; a page shows what they hold.
nb_execution_mode = "off"
nb_merge_streams = True
myst_enable_extensions = ["alert", "amsmath", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3

# The papers, where a book has a list of them.
bibtex_bibfiles = sorted(path.name for path in Path(__file__).parent.glob("*.bib"))
bibtex_reference_style = "author_year"
if bibtex_bibfiles:
    extensions.append("sphinxcontrib.bibtex")

# The pages of kdlib's API, where this copy of the book has them.
LIBRARY = (Path(__file__).parent / "library").is_dir()
if LIBRARY:
    extensions.append("sphinx.ext.autodoc")
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
python_maximum_signature_line_length = 90
add_module_names = False

# Nothing is loaded from a network: MathJax is one local file, and there are no web fonts.
mathjax_path = "mathjax.js"
mathjax3_config = {"options": {"enableMenu": False}}
nb_ipywidgets_js = {}  # sliders are plain HTML

html_theme = "sphinx_book_theme"
html_theme_options = {
    "home_page_in_toc": True,
    "navbar_persistent": [],
    "show_navbar_depth": 1,
    "show_toc_level": 2,
    # The right margin is the tables'; what is on a page stands below the chapters.
    "secondary_sidebar_items": [],
    "footer_content_items": [],
    "use_download_button": True,
    "use_fullscreen_button": False,
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
html_sidebars = {
    "**": ["navbar-logo.html", "search-button-field.html", "sbt-sidebar-nav.html", "page-toc.html"]
}
html_context = {"default_mode": "light"}
html_static_path = ["_static"]
html_css_files = ["artifacts.css", "kd.css"]
html_favicon = "_static/favicon.svg"
html_last_updated_fmt = None
html_show_copyright = False
copybutton_exclude = ".linenos, .gp, .go"

# The line on top of a chapter's pages; other pages have the announcement of the whole site.
STAMPS = json.loads((Path(__file__).parent / "stamps.json").read_text(encoding="utf-8"))


def stamp(app, page, template, context, doctree):
    """Say on every page of a chapter which data its numbers are from."""
    if (chapter := page.split("/")[0]) in STAMPS:
        context["theme_announcement"] = STAMPS[chapter]


def docstring(app, what, name, obj, options, lines):
    """kdlib's plain docstrings as Sphinx reads them."""
    lines[:] = restructured(lines)


def hints(app, obj, bound):
    """Types without the ranges that options are checked for; the docstrings say these."""
    with contextlib.suppress(AttributeError, NameError, TypeError):
        obj.__annotations__.update(get_type_hints(obj))


def parameters(app, what, name, obj, settings, signature, returns):
    """A method's options, annotated attributes of its class, as what it is made with."""
    from kdlib.methods.base import Method

    given = re.search(r", \*\*\w+: [\w.~]*Any", signature or "")
    if what != "class" or not given or not issubclass(obj, Method) or obj is Method:
        return None
    classes = [c for c in reversed(obj.__mro__) if issubclass(c, Method) and c is not Method]
    names = dict.fromkeys(name for made in classes for name in inspect.get_annotations(made))
    hints, kind, none = get_type_hints(obj), Parameter.KEYWORD_ONLY, Parameter.empty
    options = [
        Parameter(name, kind, default=getattr(obj, name, none), annotation=hints[name])
        for name in names
    ]
    text = stringify_signature(Signature(options), unqualified_typehints=True)[1:-1]
    return signature.replace(given[0], f", {text}" if names else ""), returns


def skipped(app, what, name, obj, skip, options):
    """Leave out what Python itself says of a named tuple's fields."""
    return True if (obj.__doc__ or "").startswith("Alias for field number") else skip


def setup(app):
    """Connect them."""
    app.connect("html-page-context", stamp)
    if LIBRARY:
        app.connect("autodoc-process-docstring", docstring)
        app.connect("autodoc-before-process-signature", hints)
        app.connect("autodoc-process-signature", parameters)
        app.connect("autodoc-skip-member", skipped)
