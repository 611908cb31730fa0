r"""Slips of the pen: every small change of an equation's LaTeX that an author may make unseen."""

import re
from collections.abc import Iterator
from itertools import pairwise

from latexmath import canonical

LETTER = (
    r"(?:\\(?:hat|bar|tilde)\s*\{?(?:\\[a-z]+|[A-Za-z])\}?|\\(?:alpha|beta|gamma|epsilon|sigma|mu"
    r"|lambda|eta|xi|omega|tau|theta|rho|phi|varphi|Sigma)\b|(?<![A-Za-z\\])[A-Za-z](?![A-Za-z]))"
)
SUBSCRIPT = r"_(?:\{([^{}]*)\}|([A-Za-z0-9]))"
HIDDEN = re.compile(
    r"\\text(?:tt)?\{[^{}]*\}|\\tag\{[^{}]*\}|\\(?:math[a-z]+|begin|end)\s*\{[^{}]*\}"
)


def faults(latex: str) -> Iterator[tuple[str, str]]:
    """(what was changed, the changed LaTeX), each once."""
    seen = {latex}
    words = [match.span() for match in HIDDEN.finditer(latex)]

    def free(match: re.Match) -> bool:
        return not any(a < match.end() and match.start() < b for a, b in words)

    for what, pattern, replacement in SLIPS:
        for match in re.finditer(pattern, latex):
            new = latex[: match.start()] + match.expand(replacement) + latex[match.end() :]
            if free(match) and new not in seen:
                seen.add(new)
                yield f"{what}: {_around(latex, *match.span())}", new
    for what, pattern, ways in NEIGHBOURS:
        found = [match for match in re.finditer(pattern, latex) if free(match)]
        for first, second in pairwise(found):
            a, b = first[0], second[0]
            for left, right in ((b, b), (a, a)) if ways == "copy" else ((b, a),):
                new = (
                    latex[: first.start()] + left + latex[first.end() : second.start()]
                    + right + latex[second.end() :]
                )  # fmt: skip
                if new not in seen and canonical(new) != canonical(latex):
                    seen.add(new)
                    wrong = "" if ways == "swap" else f" both {left}"
                    yield f"{what}{wrong}: {_around(latex, first.start(), second.end())}", new


def _around(latex: str, start: int, end: int) -> str:
    """The place, with a little of what stands beside it, so that it is found again."""
    return "".join(latex[max(0, start - 6) : end + 6].split()).strip("\\")


SLIPS = [
    ("minus lost", r"(?<=[\w)}\]])(?P<s>[\s;,\\]*)-", r"\g<s>+"),
    ("sign lost", r"(?<![\w)}\]\s;,])\s*-", " "),
    ("plus for minus", r"\+", "-"),
    ("square lost", r"\^2", ""),
    ("square for cube", r"\^2", "^3"),
    ("root lost", r"\\sqrt\b", ""),
    ("inverse lost", r"\^\{-1\}", ""),
    ("transpose lost", r"\^\\top", ""),
    ("bar lost", r"\\bar\s*", ""),
    ("hat lost", r"\\hat\s*", ""),
    ("half lost", r"\\tfrac12|\\frac12", "1"),
    ("previous time lost", r"_\{t-1\}", "_t"),
    ("one step further", r"(\\(?:bar\\)?(?:alpha|beta)|\\sigma)_t\b", r"\1_{t-1}"),
    ("index off by one", r"=1\}", "=2}"),
    ("number changed", r"(?<![\w.{}^_\\])[1-9](?![\d.{])", "7"),
    ("number changed", r"(?<![\w.\\])(?<!i=)\d+(?:\.\d+)?", "3"),
    ("bar added", r"(?<!\\bar)(?<!\\bar\{)(\\(?:alpha|theta))\b", r"\\bar{\1}"),
    ("hat added", r"(?<!hat)(?<!hat )(?<!hat\{)(\\epsilon\b|(?<![A-Za-z])z(?=_))", r"\\hat{\1}"),
    ("exponent's sign", r"\^\{-(?!1\})", "^{"),
    ("fraction upside down", r"\\(t?frac)\{([^{}]*)\}\{([^{}]*)\}", r"\\\1{\3}{\2}"),
    ("log lost", r"\\log\b", ""),
    ("cosine for sine", r"\\sin\b", r"\\cos"),
    ("sine for cosine", r"\\cos\b", r"\\sin"),
    ("minimum for maximum", r"\\max\b", r"\\min"),
    ("maximum for minimum", r"(?<!arg)\\min\b", r"\\max"),
    ("bound turned", r"\\ge\b", r"\\le"),
    ("identity lost", r"(?<![A-Za-z\\])I(?=\\big|\)|\})", ""),
    ("equation weakened", r"(?<=\s)=(?=\s)", r"\\ge"),
    ("bound turned", r"\\le\b", r"\\ge"),
]  # fmt: skip
NEIGHBOURS = (
    ("subscripts swapped", SUBSCRIPT, "swap"),
    ("letter mistaken", LETTER, "copy"),
)
