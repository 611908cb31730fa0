"""What a reader sees of a notebook where it does not run: nbconvert, GitHub, VS Code, JupyterLab.

`problems(notebook)` renders one with nbconvert's default template and looks for what stays raw.
"""

import copy
import re
from functools import cache

import nbformat
import pytest
from book_rules import CHAPTERS, MIN_ALT, html_alts
from bs4 import BeautifulSoup
from nbconvert import HTMLExporter

NOTEBOOKS = sorted(CHAPTERS.glob("*.ipynb"))
PIXEL = "R0lGODlhAQABAAAAACw="  # the start of a GIF: nothing looks at it

# Every command of the book's formulas. Each was given to KaTeX 0.19 (VS Code) and MathJax 3
# (JupyterLab, nbconvert, GitHub). A new one: try it there, then add it. GitHub refuses some that
# both know, \operatorname, \mbox and \phantom among them.
NAMES = r"""
    alpha beta gamma Delta delta epsilon varepsilon eta theta kappa Lambda lambda mu xi pi rho
    Sigma sigma tau Phi phi varphi psi Omega omega ell partial nabla infty varnothing
    bar hat tilde sqrt frac tfrac overset underbrace
    mathbb mathcal mathrm text texttt
    arg cos det exp log max min sin tan tanh
    int prod sum left right big Big lVert rVert langle rangle lfloor rfloor mid
    approx ge in le ne perp propto sim times cdot odot top
    leftarrow mapsto Longleftrightarrow Longrightarrow to
    begin end dots qquad quad tag textstyle blacksquare
    , ; ! \ _ # { } |
"""
COMMANDS = {*NAMES.split(), " "}
ENVIRONMENTS = {"aligned", "bmatrix", "cases", "gathered"}
CODE = re.compile(r"^(```+).*?^\1$|(?<!`)(`+)(?!`).*?(?<!`)\2(?!`)", re.DOTALL | re.MULTILINE)
FORMULA = re.compile(
    r"(?<!\\)\$\$.+?\$\$|(?<!\\)\$(?!\$)(?:(?!\n\s*\n)[^$])+?(?<!\\)\$(?!\$)", re.DOTALL
)
RAW = {
    r"^:::|\{[a-z-]+\}(?:`|$)": "a directive or role of MyST",
    r"\[@[\w*]": "a citation that was not expanded",
    r"\*\*|(?<!\w)__\w": "emphasis that was not recognised",
    r"^\s*\|.*\|\s*$": "a row of a table that was not recognised",
    r"^#{1,6} |^> ": "a heading or quote that was not recognised",
    r"\]\([^)\s]+\)": "a link that was not recognised",
    r"(?<!\\)\$": "a dollar sign that opens or closes no formula",
}


def wrong_formulas(cell):
    """Formulas that one of the viewers cannot typeset, or does not see as one."""
    text = CODE.sub("", cell.source)
    for match in FORMULA.finditer(text):
        formula = match[0]
        for command in re.findall(r"\\([A-Za-z]+|.|\n)", formula):
            if command not in COMMANDS:
                yield f"{formula[:60]!r}: \\{command} is not in COMMANDS"
        for name in re.findall(r"\\begin\{(.*?)\}", formula):
            if name not in ENVIRONMENTS:
                yield f"{formula[:60]!r}: the environment {name} is not in ENVIRONMENTS"
        if not formula.isascii() and not re.search(r"\\text", formula):
            yield f"{formula[:60]!r}: KaTeX takes no such letter outside of \\text"
        if "\\tag" in formula and not formula.startswith("$$"):
            yield f"{formula[:60]!r}: a number belongs to a display"
        if formula.startswith("$$"):
            continue
        if formula[1].isspace() or formula[-2].isspace():
            yield f"{formula[:60]!r}: VS Code wants no space within the dollar signs"
        if text[match.end() : match.end() + 1].isdigit():
            yield f"{formula[:60]!r}: a digit after the dollar sign: VS Code sees no formula"
        start = text.rfind("\n", 0, match.start()) + 1
        if text[start:].lstrip().startswith("|") and re.search(r"(?<!\\)\|", formula):
            yield f"{formula[:60]!r}: a bar within a row of a table ends its cell; write \\mid"


@cache
def exporter():
    return HTMLExporter()


def without_pictures(notebook):
    """A copy in which each stored picture is one pixel: what is looked for is in the text."""
    light = copy.deepcopy(notebook)
    for cell in light.cells:
        for output in cell.get("outputs", []):
            for mime in [m for m in output.get("data", {}) if m.startswith("image/")]:
                output.data[mime] = PIXEL
    return light


def problems(notebook):
    """What does not render, in sentences."""
    found = [f"{c.id}: {problem}" for c in notebook.cells if c.cell_type == "markdown"
             for problem in wrong_formulas(c)]  # fmt: skip
    page, _ = exporter().from_notebook_node(without_pictures(notebook))
    soup = BeautifulSoup(page, "html.parser")
    cells = soup.select(".jp-Cell")
    if len(cells) != len(notebook.cells):
        return [*found, f"{len(cells)} cells of {len(notebook.cells)} on the page"]
    for cell, place in zip(notebook.cells, cells, strict=True):
        if cell.cell_type == "markdown":
            found += [f"{cell.id}: {problem}" for problem in raw(cell, place)]
        elif not place.select(".jp-InputArea pre") and cell.source.strip():
            found.append(f"{cell.id}: no code on the page")
    return found


def raw(cell, place):
    """What is wrong with a text cell at its place on the page."""
    for code in place.select("pre, code"):
        code.replace_with("`")
    place.smooth()
    texts = [str(text) for text in place.find_all(string=True)]
    whole = [tight(text) for text in texts]
    known = {
        tight("\n".join(re.sub(r"^\s*> ?", "", line) for line in formula.split("\n")))
        for formula in FORMULA.findall(CODE.sub("", cell.source))
    }
    for formula in known:
        if not any(formula in text for text in whole):
            yield f"the formula {formula[:60]!r} is cut by other Markdown"
    for text in texts:
        rest = FORMULA.sub(lambda m: "" if tight(m[0]) in known else m[0], text)
        rest = rest.replace("$", "", cell.source.count("\\$"))  # dollars that are meant
        for pattern, words in RAW.items():
            if match := re.search(pattern, rest, re.MULTILINE):
                yield f"{words}: {rest[max(0, match.start() - 20) : match.end() + 30]!r}"
    if match := re.search(r"</?[a-z]+[\s/>]", FORMULA.sub("", CODE.sub("", cell.source))):
        yield f"HTML, which GitHub may drop: {match[0]!r}"
    for alt in html_alts(str(place)):
        if len(alt) < MIN_ALT:
            yield f"a picture with the alternative text {alt!r}"


def tight(text):
    return re.sub(r"\s+", "", text)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_chapter_is_rendered_whole(path):
    assert problems(nbformat.read(path, as_version=4)) == []


PAGE = r"""# A page

Text with $\alpha_t$ and **weight**, `code $5`, a [link](a.ipynb).

$$
\sqrt{\bar\alpha_t} \tag{1.2}
$$

| a | b |
|---|---|
| $E[x \mid z]$ | c |

![A straight line rises from 0 to 1.](line.png)
"""
BREAK = {  # what is done to the page, and what is said of it
    "**weight**": ("**weight **", "emphasis that was not recognised"),
    r"$\alpha_t$": (r"$\alpha_t", "a dollar sign"),
    r"with $\alpha_t$": (r"with $ \alpha_t$", "VS Code wants no space"),
    r"$\alpha_t$ and": (r"$\alpha_t$2 and", "VS Code sees no formula"),
    r"\sqrt{": (r"\operatorname{", r"\operatorname is not in COMMANDS"),
    r"\bar\alpha_t} \tag{1.2}": (r"\bar\alpha_t} ∎", "KaTeX takes no such letter"),
    r"\sqrt{\bar\alpha_t}": (r"\begin{align}1\end{align}", "environment align"),
    r"x \mid z": ("x | z", "a bar within a row"),
    "a [link](a.ipynb)": ("a [link] (a.ipynb) [@ho2020ddpm]", "a citation"),
    "Text with": ("{term}`Text` with", "a directive or role"),
    "\n|---|---|": ("", "a row of a table"),
    "A straight line rises from 0 to 1.": ("", "a picture with the alternative text ''"),
    "# A page": ("#A page <br>", "HTML, which GitHub may drop"),
}


def page_of(text):
    cells = [nbformat.v4.new_markdown_cell(text, id="page")]
    return nbformat.v4.new_notebook(cells=cells)


def test_a_page_that_is_well_has_no_problems():
    assert problems(page_of(PAGE)) == []


@pytest.mark.parametrize("good", BREAK)
def test_what_does_not_render_is_seen(good):
    bad, said = BREAK[good]
    assert good in PAGE
    assert said in "\n".join(problems(page_of(PAGE.replace(good, bad, 1))))
