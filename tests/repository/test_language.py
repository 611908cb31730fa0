"""What the code says in another language: read from the code, and looked up while it runs."""

import ast

import messages
import pytest

from book import exercises, language
from book.exercises import registry
from book.language import Messages

CODE = '''
"""A module."""
def judge(x):
    """A docstring of many words."""
    if x.shape != (2,):
        return f"expected shape (2,), got {tuple(x.shape)} and {'no more' if x else 'one more'}"
    raise ValueError("nobody reads this here")
A = Exercise(id="1-1", title="find the root", stub="x = ... # code here", hint="Think of " "it.")
WHY = {"first": "it comes too early", "a key": {"fault": "too late"}, "this key is a reply": 1}
ROWS = ((3, "does not end"), (4, ""))
KINDS = ("one kind", "another kind")
def draw(ax):
    ax.set_title("signal left")
    ax.plot(x, label=f"step {t} of T", color="tab:blue")
def in_words(n):
    return "two arrows" + str(n)
'''


def test_messages_are_read_from_the_code():
    assert set(messages.of_exercises(ast.parse(CODE.split("def draw")[0]))) == {
        "find the root", "Think of it.", "expected shape (2,), got {0} and {1}", "no more",
        "one more", "it comes too early", "this key is a reply", "does not end",
    }  # fmt: skip
    found = list(messages.of_figures(ast.parse(CODE)))
    assert sorted(found) == ["signal left", "step {0} of T", "two arrows{0}"]


def test_the_books_messages_are_found():
    found = messages.messages()
    for exercise in registry().values():
        assert {exercise.title, exercise.hint} <= found.keys()
        assert exercise.praise == "" or exercise.praise in found
    for text in ("you said {0}", "draw samples", "[todo] {0}: {1}. Replace the `...` and run the "
                 "cell again.", "A digit appears out of noise", "Run this chapter"):  # fmt: skip
        assert text in found
    assert not [text for text in found if "YOUR CODE HERE" in text]
    keys = {"psnr", "joint", "dit", "relatives", "digits-autoencoder", "cpu", "eps", "dtype"}
    assert not keys & found.keys()
    for text in ("The mathematical model", "after it you can", "week 1", "Six weeks"):
        assert text in found


SAID = {
    "you said {0}": "你说的是 {0}",
    "[not yet] {0}: {1}": "[还不对] {0}：{1}",
    "the root of {0} is {1}": "{0} 的根是 {1}",
    "its square is not 4": "它的平方不是 4",
    "step {0}": "第 {0} 步",
    "{0} of the faults of this loop are left": "这个循环还剩 {0} 处错误",
    "{0} builds on {1}": "{0} 基于 {1}",
    "in all: {0}": "一共：{0}",
    " and ": " 和 ",
    "my $x$ left": "我的 $x$ 剩下",
    "A picture of a curve that falls.": "一条下降的曲线。",
    "signal left": "剩下的信号",
}


@pytest.fixture
def chinese(monkeypatch):
    monkeypatch.setenv("MINILDM_LANGUAGE", "zh")
    monkeypatch.setattr(language, "messages", lambda wanted: Messages(SAID))


def test_a_template_is_found_from_what_was_printed(chinese):
    told = language.told
    assert told("you said 5 and 7") == "你说的是 5 和 7"
    assert told("you said up and down") == "你说的是 up and down"  # no words that are known
    assert told("in all: 4.1 builds on 3; 7 builds on 4.1 and 5 and 6") == (
        "一共：4.1 基于 3; 7 基于 4.1 和 5 和 6"
    )
    assert told("[not yet] 1-2: 3 of the faults of this loop are left") == (
        "[还不对] 1-2：这个循环还剩 3 处错误"
    )
    assert told("[not yet] 1-2: its square is not 4") == "[还不对] 1-2：它的平方不是 4"
    assert told("[not yet] 1-2: the root of 9 is 3") == "[还不对] 1-2：9 的根是 3"
    assert told("step 5") == "第 5 步"
    assert told("step by small steps") == "step by small steps"  # another sentence
    assert told("step size") == "step size"  # and what has no number is no value
    assert told("unknown") == "unknown"
    assert Messages(SAID).say("you said {0}", 3) == "你说的是 3"
    assert Messages({}).say("you said {0}", 3) == "you said 3"


def test_exercises_answer_in_the_readers_language(chinese, capsys):
    assert exercises.said(3) == "你说的是 3"
    assert exercises.said((3, "up")) == "你说的是 3 和 up"
    exercises.check("0-3", [1])
    assert capsys.readouterr().out.startswith("[还不对] 0-3：")


def test_without_a_language_nothing_is_looked_up(monkeypatch, capsys):
    monkeypatch.setattr(language, "messages", None)
    for value in ("", "en"):
        monkeypatch.setenv("MINILDM_LANGUAGE", value)
        assert language.told("you said 3") == exercises.said(3) == "you said 3"


def test_a_figure_is_labelled_in_the_readers_language(chinese, monkeypatch):
    from matplotlib import pyplot as plt

    fig, ax = plt.subplots()
    ax.set_title("signal left")
    ax.set_xlabel("$t$ of signal left")
    ax.set_ylabel("my $x$ left")
    ax.text(0, 0, "signal\nleft")
    monkeypatch.setattr(language, "font", lambda: None)
    language.translate_figure(fig)
    assert ax.get_title() == "signal left"  # no font of this machine could draw it
    monkeypatch.setattr(language, "font", lambda: "DejaVu Sans Mono")
    language.translate_figure(fig)
    assert ax.get_title() == "剩下的信号"
    assert ax.title.get_fontfamily()[-1] == "DejaVu Sans Mono"
    assert ax.get_xlabel() == "$t$ of signal left"
    assert ax.get_ylabel() == "我的 $x$ 剩下"  # words around a formula: in the first font only
    assert ax.yaxis.label.get_fontfamily()[0] == "DejaVu Sans Mono"
    assert ax.texts[0].get_text() == "剩下的信号"  # in one line, as it fits
    plt.close(fig)


def test_a_table_is_told_cell_by_cell(chinese):
    found = language.told_table("**signal left**\n\n| [4 signal left](a.ipynb) | 3 | **step 5** |")
    assert found == "**剩下的信号**\n\n| [4 剩下的信号](a.ipynb) | 3 | **第 5 步** |"
