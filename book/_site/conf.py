"""Sphinx settings of the book. `kdlib.press.site` copies it beside the pages, adds the rest."""

import json
from pathlib import Path

extensions = ["myst_nb", "sphinx_design", "sphinx_copybutton"]
exclude_patterns = ["_static"]
templates_path = ["_templates"]

# papermill has executed the notebooks; a page shows what they hold.
nb_execution_mode = "off"
nb_merge_streams = True
myst_enable_extensions = ["alert", "amsmath", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3

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
    "footer_content_items": [],
    "use_download_button": True,
    "use_fullscreen_button": False,
    "pygments_light_style": "tango",
    "pygments_dark_style": "github-dark",
}
html_context = {"default_mode": "light"}
html_static_path = ["_static"]
html_css_files = ["kd.css"]
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


def setup(app):
    """Connect it."""
    app.connect("html-page-context", stamp)
