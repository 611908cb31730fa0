"""Settings of the web edition. `python tools/build_web.py` stages the pages, then calls Sphinx."""

import os
import sys
from pathlib import Path

BOOK = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(BOOK / "tools"), str(BOOK / "chapters")]

from book.language import messages  # noqa: E402

LANGUAGE = os.environ.get("MINILDM_LANGUAGE", "")  # set by build_web.py
say = messages(LANGUAGE).say

project = say("Latent diffusion")
author = "The minildm authors"
copyright = say("The minildm authors. Text and figures: CC BY 4.0; code: MIT")
language = {"": "en", "zh": "zh_CN"}[LANGUAGE]
html_title = say("Latent diffusion, from the first Gaussian to Stable Diffusion")
html_short_title = project
extensions = ["myst_nb", "sphinx.ext.mathjax", "web_doctree"]
book_bibliography = str(BOOK / "chapters" / "references.bib")

# The stored results, as they are: nothing runs.
nb_execution_mode = "off"
nb_render_markdown_format = "myst"
nb_ipywidgets_js: dict[str, dict] = {}
nb_merge_streams = True
myst_enable_extensions = ["dollarmath", "amsmath", "colon_fence", "attrs_inline"]
myst_dmath_double_inline = True
myst_heading_anchors = 4
# A number of an exercise or equation is not a footnote, "1." after a heading is not a list ...
suppress_warnings = ["myst.header"]

# MathJax comes from a package, copied by build_web.py: no address outside.
mathjax_path = "mathjax/tex-chtml-full.js"
mathjax3_config = {"tex": {"inlineMath": [["\\(", "\\)"]], "displayMath": [["\\[", "\\]"]]}}

html_theme = "sphinx_book_theme"
BUILD = BOOK / "outputs" / "web-build"
STAGED = BUILD / LANGUAGE
html_static_path = [str(BOOK / "web" / "static"), str(BUILD / "static"), str(STAGED / "words")]
html_extra_path = [str(STAGED / "extra")]
templates_path = [str(BOOK / "web" / "templates")]
html_context = {"default_mode": "auto"}
html_favicon = str(BOOK / "web" / "static" / "favicon.svg")
html_css_files = ["book.css"]
html_js_files = [("book.js", {"type": "module"})]
html_copy_source = False
html_show_sourcelink = False
html_show_sphinx = False
html_last_updated_fmt = ""
html_theme_options = {
    "article_header_end": ["language-switch.html", "article-header-buttons.html"],
    "use_download_button": False,
    "use_fullscreen_button": False,
    "show_toc_level": 2,
    "navbar_persistent": [],
    "home_page_in_toc": True,
    "show_navbar_depth": 1,
}
