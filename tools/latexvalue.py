r"""What the book prints, evaluated.

``statements(latex, symbols)`` says of each relation of a displayed equation whether it holds.
``symbols`` gives LaTeX its values: ``"z_t"`` a tensor, ``r"\bar\alpha_"`` (with an underscore) a
function of the evaluated subscript, ``"D"`` a function that is called where a parenthesis follows,
and ``r"q(z_t \mid z_s)"``, or any other run of factors, the value of the whole. The longest run
that has a value wins. What has none is refused (`Unbound`): a wrong letter is not an unknown.

Two kinds of values act on formulas: `Rule`, a function of the symbols as they are (for the
variable of a sum), and `Operator`, a function of "the rest, with these symbols changed" (arg min).
"""

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import torch
from latexbuiltin import BUILT_IN, power
from latexmath import Node, Unreadable, canonical, parsed, read, shown
from latexrelation import relation, same
from quadrature import legendre
from torch import Tensor


class Unbound(KeyError):
    """A symbol without a value."""


class Rule(NamedTuple):
    of: Callable[[Mapping], Any]


class Each(NamedTuple):
    """A symbol that is defined anew by each statement that has it on one side."""

    values: tuple


class Operator(NamedTuple):
    of: Callable[[Callable[..., Any]], Any]


OPTIONS = ("tolerance", "values", "cases", "only", "itself")  # among the symbols, but not LaTeX
WORDS = object()  # the value of words: none


class Value:
    """Evaluates trees with one set of symbols."""

    def __init__(self, symbols: Mapping[str, Any]):
        self.symbols = _canonical(BUILT_IN) | _canonical(symbols)
        self.longest = max(len(key) for key in self.symbols)
        self.tolerance = self.symbols.get("tolerance", 1e-8)
        self.strict = False  # may words stand before a formula?

    def but(self, changes: Mapping[str, Any]) -> "Value":
        other = Value.__new__(Value)
        other.symbols = self.symbols | _canonical(changes)
        other.longest, other.tolerance, other.strict = self.longest, self.tolerance, self.strict
        return other

    def known(self, text: str) -> bool:
        return text in self.symbols

    def look_up(self, text: str) -> Any:
        if text not in self.symbols:
            raise Unbound(shown(text))
        found = self.symbols[text]
        return found.of(self) if isinstance(found, Rule) else found

    def __getitem__(self, key: str) -> Any:
        """For a `Rule`: the value of a symbol as it is now."""
        return self.look_up(canonical(key))

    def of(self, node: Node) -> Any:
        if node.kind not in ("chain", "sum", "product") and self.known(node.text):
            return self.look_up(node.text)
        return getattr(self, f"_{node.kind}")(node)

    def tokens(self, found: list[str]) -> Any:
        return self.of(parsed(found))

    # --- each kind of node ------------------------------------------------------------------------

    def _chain(self, node: Node) -> Any:
        sides = [self.of(side) for side in node.parts[::2]]
        if len(sides) == 1:
            return sides[0]
        pairs = zip(node.parts[1::2], sides, sides[1:], strict=False)
        return all(relation(sign, a, b, self) for sign, a, b in pairs)

    def _sum(self, node: Node) -> Any:
        total = None
        for sign, part in node.parts:
            value = self.of(part)
            if value is WORDS and len(node.parts) > 1:
                raise Unbound(shown(part.text))
            value = -value if sign < 0 else value
            total = value if total is None else total + value
        return total

    def _product(self, node: Node) -> Any:
        return self.run(list(node.parts))

    def run(self, nodes: list[Node]) -> Any:
        """Factors from left to right; functions take what follows them."""
        value, operation, words, i = WORDS, "", False, 0
        while i < len(nodes):
            if nodes[i].kind == "space":
                i += 1
                continue
            if nodes[i].kind == "operation":
                operation, i = nodes[i].text, i + 1
                continue
            factor, i = self.operand(nodes, i)
            if factor is WORDS:
                words = True
                continue
            if words and self.strict:
                raise Unbound(shown(" ".join(node.text for node in nodes)))
            if value is WORDS and operation:
                raise Unreadable(f"nothing before {operation}")
            value = factor if value is WORDS else self.look_up(operation)(value, factor)
            operation = ""
        if operation:
            raise Unreadable(f"nothing behind {operation}")
        return value

    def operand(self, nodes: list[Node], i: int) -> tuple[Any, int]:
        value, i = self.longest_known(nodes, i)
        while callable(value) or isinstance(value, Operator):
            start = i
            while i < len(nodes) and nodes[i].kind == "space":
                i += 1
            if i == len(nodes) or nodes[i].kind == "operation":
                return value, i  # the function itself
            if isinstance(value, Operator):
                rest, i = nodes[i:], len(nodes)
                value = value.of(lambda changes, rest=rest: self.but(changes).run(rest))
            elif nodes[i].kind == "group":
                value, i = value(*self.arguments(nodes[i])), i + 1
            elif i == start and nodes[i].kind == "power" and nodes[i].parts[0].kind == "group":
                base, exponent = nodes[i].parts  # f(x)^2; with a space between, f of (x)^2
                value, i = self.raised(value(*self.arguments(base)), exponent), i + 1
            else:
                end = next(
                    (j for j in range(i, len(nodes)) if nodes[j].kind == "space"), len(nodes)
                )
                value, i = value(self.run(nodes[i:end])), end
        return value, i

    def longest_known(self, nodes: list[Node], i: int) -> tuple[Any, int]:
        """The longest run of factors that has a value; its exponent may be no part of the run."""
        text, best = "", None
        for j in range(i, len(nodes)):
            if nodes[j].kind == "space":
                continue
            before, text = text, f"{text} {nodes[j].text}".strip()
            if self.known(text):
                best = text, j + 1, None
            elif nodes[j].kind == "power":
                base, exponent = nodes[j].parts
                run = f"{before} {base.text}".strip()
                best = (run, j + 1, exponent) if self.known(run) else best
            if len(text) > self.longest:
                break
        if best:
            value = self.look_up(best[0])
            return self.raised(value, best[2]), best[1]
        return self.of(nodes[i]), i + 1

    def arguments(self, node: Node) -> list[Any]:
        return [self.of(item) for item in node.parts[1] if item.text != "\\dots"]

    def _group(self, node: Node) -> Any:
        values = self.arguments(node)
        return values[0] if len(values) == 1 else tuple(values)

    def _name(self, node: Node) -> Any:
        base, sub = node.parts
        if sub is not None and "=" not in sub and self.known(f"{base} _"):
            return self.look_up(f"{base} _")(self.tokens(sub))
        raise Unbound(shown(node.text))

    def _words(self, node: Node) -> Any:
        return WORDS

    def _number(self, node: Node) -> float:
        return node.parts[0]

    def _fraction(self, node: Node) -> Any:
        above, below = node.parts
        return self.of(above) / self.of(below)

    def _root(self, node: Node) -> Any:
        return power(self.of(node.parts[0]), 0.5)

    def _power(self, node: Node) -> Any:
        base, exponent = node.parts
        value = self.of(base)
        return self.raised(value, exponent)

    def raised(self, value: Any, exponent: list[str] | None) -> Any:
        if exponent is None:
            return value
        if callable(value):  # cos^2(x)
            return lambda *arguments: self.raised(value(*arguments), exponent)
        if exponent == ["\\top"]:
            return value.mT if value.ndim > 1 else value
        return self.look_up("^")(value, self.tokens(exponent))

    def _norm(self, node: Node) -> Any:
        return self.look_up("\\lVert")(*self.arguments(node))

    def _inner(self, node: Node) -> Any:
        return self.look_up("\\langle")(*self.arguments(node))

    def _abs(self, node: Node) -> Any:
        return self.look_up("|")(*self.arguments(node))

    def _bmatrix(self, node: Node) -> Tensor:
        rows = [[float(self.of(cell)) for cell in row] for row in node.parts]
        return torch.tensor(rows, dtype=torch.float64).squeeze(-1)

    def _cases(self, node: Node) -> Any:
        """The case that is said to be: symbols["cases"] is its number."""
        return self.of(node.parts[self.look_up("cases")][0])

    def _brace(self, node: Node) -> Any:
        """Its label, if it is not of words, says what else the body is."""
        body, label, mark = node.parts
        sides = [self.of(side) for side in body.parts[::2]]
        for sign, a, b in zip(body.parts[1::2], sides, sides[1:], strict=False):
            if not relation(sign, a, b, self):
                raise Unreadable(f"{shown(body.text)} does not hold")
        value = sides[0]
        strict, self.strict = self.strict, False
        if mark == "_":
            condition = next((i for i, t in enumerate(label) if shown(t) == "\\text{if}"), None)
            meant = condition is None or self.tokens(label[condition + 1 :])
            for name in parsed(label[:condition]).parts[::2]:
                other = self.of(name)
                if other is not WORDS and same(value, other, self.tolerance) != meant:
                    raise Unreadable(f"the label {shown(name.text)} of {shown(body.text)}")
        self.strict = strict
        return value if len(sides) == 1 else WORDS

    def _big(self, node: Node) -> Any:
        """Sums and products over a range, or over symbols["\\sum_j"]; integrals by Gauss."""
        kind, head, scripts, body = node.parts
        if self.known(head):
            return self.look_up(head).of(lambda changes: self.but(changes).of(body))
        below = scripts[0]
        if kind == "\\int":
            return self.integral(scripts, body)
        upto = "\\le" in below
        if below[1] not in ("=", "\\le"):
            raise Unreadable(f"the range of {shown(head)}")
        variable, first = below[0], ["1"] if upto else below[2:]
        last = below[2:] if upto else scripts[1]
        values = range(int(self.tokens(first)), int(self.tokens(last)) + 1)
        terms = [self.but({variable: n}).of(body) for n in values]
        if kind == "\\sum":
            return sum(terms)
        return math.prod(terms)

    def integral(self, scripts, body: Node) -> Any:
        *factors, d, variable = (p for p in body.parts if p.kind != "space")
        if d.text != "d":
            raise Unreadable("an integral without its d")
        low, high = (self.tokens(limit) for limit in scripts)
        nodes, weights = legendre(20, low, high)
        values = [self.but({variable.text: x}).run(factors) for x in nodes]
        return sum(w * v for w, v in zip(weights, values, strict=True))


def names(node: Any) -> set[str]:
    """The letters, with their subscripts, of a formula."""
    if isinstance(node, Node):
        here = {node.text} if node.kind == "name" else set()
        return here.union(*(names(part) for part in node.parts if isinstance(part, tuple | Node)))
    return set().union(*(names(part) for part in node if isinstance(part, tuple | Node)))


def _canonical(symbols: Mapping[str, Any]) -> dict[str, Any]:
    return {key if key in OPTIONS else canonical(key): value for key, value in symbols.items()}


# --- statements -----------------------------------------------------------------------------------


def statements(latex: str, symbols: Mapping[str, Any]) -> Iterator[tuple[str, bool]]:
    """Each relation of a display, as printed, and whether it holds.

    A formula without a relation is compared with the next of ``symbols["values"]``; a symbol that
    means something else in each statement has a `Each` of values. ``symbols["only"]`` are the
    numbers of the statements that these symbols are for, from 0; ``symbols["itself"]``: a letter
    may stand on both sides of its equation.
    """
    expected = iter(symbols.get("values", ()))
    each = {key: list(value.values) for key, value in symbols.items() if isinstance(value, Each)}
    fixed = {key: v for key, v in symbols.items() if key not in ("values", "only", "itself", *each)}
    value = Value(fixed)
    for number, node in enumerate(read(latex)):
        if number not in symbols.get("only", (number,)):
            continue
        value = value.but({key: found[0] for key, found in each.items() if found})
        value.strict = False
        sides = node.parts[::2]
        if len(sides) == 1:
            got = value.of(node)
            if got is not WORDS:
                wanted = next(expected, None)
                yield shown(node.text), wanted is not None and same(got, wanted, value.tolerance)
            continue
        for key, found in each.items():
            if canonical(key) in (side.text for side in sides):
                found.pop(0)
        got = [value.of(sides[0])]
        value.strict = True
        got += [value.of(side) for side in sides[1:]]
        itself = any(sides[0].text in names(side) for side in sides[1:])
        if node.parts[1] == "=" and itself and not symbols.get("itself"):
            raise Unreadable(f"{shown(sides[0].text)} by itself")
        for sign, a, b in zip(node.parts[1::2], got, got[1:], strict=False):
            yield shown(node.text), relation(sign, a, b, value)
    if next(expected, None) is not None:
        yield "a formula that is expected", False
