r"""A reader of the book's LaTeX: a displayed equation becomes a tree, which `latexvalue` evaluates.

The book's dialect in short: factors stand side by side; a thin space ends what a function without
parentheses acts on; commas, wide spaces, arrows and ends of lines part statements; words in
``\\text`` are none.
"""

import re
from dataclasses import dataclass
from functools import cache

TOKEN = re.compile(r"\\[A-Za-z]+|\\.|\d+(?:\{,\}\d+)*(?:\.\d+)?|[^\s]", re.DOTALL)
IGNORED = {"\\left", "\\right", "\\big", "\\Big", "\\bigg", "\\Bigg", "\\textstyle", "\\!"}
SPACES = {"\\,", "\\;", "\\:", "\\ "}
BREAKS = {
    ".",
    "∎",
    "\\qquad",
    "\\quad",
    "\\\\",
    "&",
    ",",
    ";",
    "\\Longrightarrow",
    "\\Longleftrightarrow",
}
RELATIONS = {"=", "\\ge", "\\le", "<", ">", "\\approx", "\\propto", "\\sim", "\\leftarrow", "\\in"}
OPERATIONS = {"\\cdot", "\\odot", "*", "/", "\\times"}
SEPARATORS = {",", ";", "\\mid", "\\quad", ":"}
FONTS = {
    "\\hat",
    "\\bar",
    "\\tilde",
    "\\dot",
    "\\mathcal",
    "\\mathrm",
    "\\mathbb",
    "\\mathbf",
}
CLOSING = {"(": ")", "[": "]", "\\{": "\\}", "\\lVert": "\\rVert", "\\|": "\\|", "|": "|",
           "\\lvert": "\\rvert", "\\langle": "\\rangle"}  # fmt: skip
NORMS = {"\\lVert", "\\|"}
BIG = {"\\sum", "\\prod", "\\int"}


class Unreadable(ValueError):
    """LaTeX that is not of the book's dialect."""


@dataclass(frozen=True)
class Node:
    kind: str
    text: str
    parts: tuple = ()


def tokens(latex: str) -> list[str]:
    """Without sizes, environments that only align, numbers and quotation marks of Markdown."""
    latex = re.sub(r"\\tag\{[^}]*\}|(?m:^\s*>)", "", latex).replace("\\arg\\min", "\\argmin")
    parts, i, found = TOKEN.findall(_hide_words(latex)), 0, []
    while i < len(parts):
        if parts[i] in ("\\begin", "\\end"):
            name = "".join(parts[i + 2 : parts.index("}", i)])
            if name in ("bmatrix", "cases"):
                found.append(f"{parts[i]} {name}")
            i = parts.index("}", i)
        elif parts[i] not in IGNORED:
            found.append(parts[i])
        i += 1
    return found


def _hide_words(latex: str) -> str:
    r"""``\text{a b}`` and ``\texttt{a\_b}`` become one token: a letter of the private use area."""

    def one(match: re.Match) -> str:
        return f" {_word(match[1] + ' ' + match[2])} "

    return re.sub(r"\\(text|texttt)\{([^{}]*)\}", one, latex)


_WORDS: list[str] = []


def _word(text: str) -> str:
    text = " ".join(text.split())
    if text not in _WORDS:
        _WORDS.append(text)
    return chr(0xF0000 + _WORDS.index(text))


@cache
def canonical(latex: str) -> str:
    """The form in which symbols are looked up: spacing, sizes and needless braces removed."""
    return _join(t for t in tokens(latex) if t not in SPACES)


def _join(found) -> str:
    text = " ".join(found)
    while "{" in text and (shorter := re.sub(r"\{ (\S+) \}", r"\1", text)) != text:
        text = shorter
    return text


@cache
def read(latex: str) -> tuple[Node, ...]:
    """The statements of a display: what stands between commas, wide spaces, arrows, line ends."""
    return tuple(Parser(latex).statements())


class Parser:
    def __init__(self, latex: str):
        self.tokens, self.at, self.term, self.open = tokens(latex), 0, 0, [""]

    def peek(self) -> str:
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def take(self, *wanted: str) -> str:
        token = self.peek()
        if not token or (wanted and token not in wanted):
            raise Unreadable(f"{token or 'the end'!r} where {wanted or 'more'} belongs")
        self.at += 1
        return token

    def text(self, start: int) -> str:
        return _join(t for t in self.tokens[start : self.at] if t not in SPACES)

    def statements(self) -> list[Node]:
        found = []
        while self.peek():
            if self.peek() in BREAKS:
                self.take()
                continue
            found.append(self.chain())
        return found

    def chain(self) -> Node:
        """Expressions joined by relations."""
        start, parts = self.at, [self.sum()]
        while self.peek() in RELATIONS or self.peek() == "\\overset":
            relation = self.take()
            if relation == "\\overset":
                self.braced()
                relation = self.braced()[0]
            parts += [relation, self.sum()]
        return Node("chain", self.text(start), tuple(parts))

    def sum(self) -> Node:
        start, sign, parts = self.at, 1, []
        while True:
            self.spaces()
            if self.peek() in ("+", "-"):
                sign = -1 if self.take() == "-" else 1
            parts.append((sign, self.product()))
            sign = 1
            if self.peek() not in ("+", "-") and not self.signed_brace():
                return Node("sum", self.text(start), tuple(parts))

    def spaces(self) -> None:
        while self.peek() in SPACES or (self.peek() == "&" and self._aligned()):
            self.take()

    def _aligned(self) -> bool:
        """Is this ampersand one before a relation or a sign, which parts nothing?"""
        after = self.tokens[self.at + 1 : self.at + 2]
        return bool(after) and (after[0] in RELATIONS or after[0] in ("+", "-"))

    def product(self) -> Node:
        start, parts = self.at, []
        self.term = start
        while not self.ends():
            if self.peek() in SPACES or self.peek() == "&":
                self.take()
                parts.append(Node("space", ""))
            elif self.peek() in OPERATIONS:
                parts.append(Node("operation", self.take()))
            else:
                parts.append(self.factor())
        if not any(p.kind not in ("space", "operation") for p in parts):
            raise Unreadable(f"nothing before {self.peek() or 'the end'!r}")
        return Node("product", self.text(start), tuple(parts))

    def ends(self) -> bool:
        token = self.peek()
        if token == "&":
            return not self._aligned()
        if token.startswith("\\end ") or self.signed_brace():
            return True
        if token in ("", "+", "-", "}", "\\overset", "\\mid", ":", *BREAKS, *RELATIONS):
            return True
        if token == "\\|" and self.open[-1] == "KL":
            return True
        if token in CLOSING:  # one sign that opens and closes
            return CLOSING.get(self.open[-1]) == token
        return token in CLOSING.values()

    def signed_brace(self) -> bool:
        r"""``a \underbrace{- b}_{..}`` is a difference; at the start of a term, a factor."""
        here = self.tokens[self.at : self.at + 3] == ["\\underbrace", "{", "-"]
        return here and self.at > self.term

    def factor(self) -> Node:
        """An atom with what hangs on it: primes, subscript, exponent."""
        start, node = self.at, self.atom()
        while self.peek() in ("'", "_", "^"):
            mark = self.take()
            if mark == "'":
                node = Node("name", self.text(start), (node.text + " '", None))
            elif mark == "_":
                sub = self.argument()
                if node.kind in ("norm", "big"):
                    if node.kind == "norm" and sub != ["2"]:
                        raise Unreadable(f"the norm {sub}")
                    node = Node(node.kind, self.text(start), (*node.parts, sub))
                else:
                    node = Node("name", self.text(start), (node.text, sub))
            else:
                above = self.argument()
                if above[0] in ("(", "'"):
                    node = Node("name", self.text(start), (self.text(start), None))
                elif node.kind == "big":
                    node = Node("big", self.text(start), (*node.parts, above))
                else:
                    node = Node("power", self.text(start), (node, above))
        return self.big(start, node) if node.kind == "big" else node

    def big(self, start: int, node: Node) -> Node:
        """A sum, product or integral with the rest of its term."""
        head = self.text(start)
        body = self.product()
        return Node("big", self.text(start), (*node.parts[:1], head, node.parts[1:], body))

    def atom(self) -> Node:
        start, token = self.at, self.take()
        if token in ("\\frac", "\\tfrac", "\\dfrac"):
            above, below = self.argument(), self.argument()
            return Node("fraction", self.text(start), (parsed(above), parsed(below)))
        if token == "\\sqrt":
            return Node("root", self.text(start), (parsed(self.argument()),))
        if token in ("\\underbrace", "\\overbrace"):
            body, mark, label = self.argument(), self.take("_", "^"), self.argument()
            return Node("brace", self.text(start), (parsed(body), label, mark))
        if token == "{":
            self.at -= 1
            inner = self.braced()
            return Node("group", self.text(start), (token, (parsed(inner),)))
        if token in CLOSING:
            return self.delimited(start, token)
        if token in FONTS:
            self.argument()
            return Node("name", self.text(start), (self.text(start), None))
        if token in BIG:
            return Node("big", token, (token,))
        if token in ("\\begin bmatrix", "\\begin cases"):
            return self.table(start, token.split()[1])
        if token[0].isdigit():
            return Node("number", token, (float(token.replace("{,}", "")),))
        if ord(token[0]) >= 0xF0000:
            kind = "words" if _WORDS[ord(token) - 0xF0000].startswith("text ") else "name"
            return Node(kind, token, (token, None))
        if token[0] == "\\" or token.isalpha():
            return Node("name", token, (token, None))
        raise Unreadable(f"{token!r} is in no place for it")

    def delimited(self, start: int, token: str) -> Node:
        kl = self.tokens[max(0, start - 5) : start] == ["\\mathrm", "{", "K", "L", "}"]
        self.open.append("KL" if kl else token)
        items = [self.chain()]
        while self.peek() in SEPARATORS or (kl and self.peek() == "\\|"):
            if self.take() != "\\quad":
                items.append(self.chain())
        self.take(CLOSING[token])
        self.open.pop()
        kind = "norm" if token in NORMS else "abs" if token in ("|", "\\lvert") else "group"
        kind = "inner" if token == "\\langle" else kind
        return Node(kind, self.text(start), (token, tuple(items)))

    def table(self, start: int, name: str) -> Node:
        rows = [[self.chain()]]
        while self.peek() != f"\\end {name}":
            if self.take("\\\\", "&") == "\\\\":
                rows.append([self.chain()])
            else:
                rows[-1].append(self.chain())
        self.take()
        return Node(name, self.text(start), tuple(tuple(row) for row in rows))

    def argument(self) -> list[str]:
        """What a command or a script takes: a braced group, a command with its own, a character."""
        if self.peek() == "{":
            return self.braced()
        if self.peek() in FONTS | {"\\sqrt"}:
            return [self.take(), *_braced(self.argument())]
        token = self.take()
        if len(token) > 1 and token.isdigit():  # \tfrac12: one digit at a time
            self.at -= 1
            self.tokens[self.at : self.at + 1] = [token[0], token[1:]]
            token = self.take()
        return [token]

    def braced(self) -> list[str]:
        self.take("{")
        start, depth = self.at, 1
        while depth:
            depth += {"{": 1, "}": -1}.get(self.take(), 0)
        return self.tokens[start : self.at - 1]


def _braced(found: list[str]) -> list[str]:
    return found if len(found) == 1 else ["{", *found, "}"]


def parsed(found: list[str]) -> Node:
    return _parsed(tuple(found))


@cache
def _parsed(found: tuple[str, ...]) -> Node:
    parser = Parser("")
    parser.tokens = list(found)
    node = parser.chain()
    if parser.peek():
        raise Unreadable(f"{parser.peek()!r} is left over")
    return node


def shown(text: str) -> str:
    """For a person: words and code names as LaTeX."""
    for i, word in enumerate(_WORDS):
        command, _, inner = word.partition(" ")
        text = text.replace(chr(0xF0000 + i), f"\\{command}{{{inner}}}")
    return text
