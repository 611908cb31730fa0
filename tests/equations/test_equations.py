"""Each numbered equation of the book is registered, points to real code, and passes its check."""

from collections import Counter
from pathlib import Path

import pytest
from registry import Equation, cells, printed, registered, resolve

EQUATIONS = registered()


def differences(equations: list[Equation], tags: list[tuple[str, str]]) -> list[str]:
    """What is numbered but not registered, registered but not numbered, or there twice."""
    have = [(e.chapter, e.id) for e in equations]
    problems = [
        f"({id}) in {chapter} has no check" for chapter, id in tags if (chapter, id) not in have
    ]
    problems += [f"({id}) is not in {chapter}" for chapter, id in have if (chapter, id) not in tags]
    for kind, ids in (("numbered", [i for _, i in tags]), ("registered", [i for _, i in have])):
        problems += [f"({id}) is {kind} {n} times" for id, n in Counter(ids).items() if n > 1]
    return problems


def test_numbered_and_registered_are_the_same():
    assert differences(EQUATIONS, printed()) == []


@pytest.mark.parametrize("equation", EQUATIONS, ids=lambda e: e.id)
def test_function_exists_in_the_package_or_the_cell_in_the_chapter(equation):
    if equation.function.startswith("cell "):
        assert equation.function.removeprefix("cell ") in cells(equation.chapter)
    else:
        assert equation.function.startswith(("minildm.", "book."))
        assert callable(resolve(equation.function))


@pytest.mark.parametrize("equation", EQUATIONS, ids=lambda e: e.id)
def test_equation_holds(equation):
    equation.check()


def test_numbers_follow_the_chapter_and_its_order():
    for chapter in {c for c, _ in printed()}:
        prefix = ".".join(str(int(p)) for p in chapter.split("_") if p.isdigit())
        ids = [id for c, id in printed() if c == chapter]
        assert ids == [f"{prefix}.{i}" for i in range(1, len(ids) + 1)]


def test_the_comparison_notices_each_kind_of_gap(tmp_path: Path):
    (tmp_path / "09_x.md").write_text(r"$$a \tag{9.1}$$ $$b \tag{9.2}$$", encoding="utf-8")
    tags = printed(tmp_path)
    assert tags == [("09_x", "9.1"), ("09_x", "9.2")]
    one, two = (Equation(i, "09_x", "", "minildm.x", lambda: None) for i in ("9.1", "9.2"))
    assert differences([one, two], tags) == []
    assert differences([one], tags) == ["(9.2) in 09_x has no check"]
    assert differences([one, two], tags[:1]) == ["(9.2) is not in 09_x"]
    assert differences([one, two, two], tags) == ["(9.2) is registered 2 times"]
    assert differences([one, two], [*tags, tags[0]]) == ["(9.1) is numbered 2 times"]


def test_resolve_refuses_names_that_do_not_exist():
    with pytest.raises(AttributeError):
        resolve("minildm.process.difuse")
    with pytest.raises(ImportError):
        resolve("no_such_package.f")
