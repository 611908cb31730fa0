"""Texts are lists of words: which words there are, and what to say of one that is not known."""

import difflib
import re
import string
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np


def words_of(text: str) -> list[str]:
    """The words of a text in lower case: what lies between spaces and (ASCII) punctuation."""
    return re.findall(rf"[^\s{re.escape(string.punctuation)}]+", text.lower())


def vocabulary_of(texts: Sequence[str]) -> tuple[str, ...]:
    """All words of these texts, each once, in the order of the alphabet."""
    return tuple(sorted({word for text in listed(texts) for word in words_of(text)}))


def checked_words(words: Any) -> tuple[str, ...]:
    """A vocabulary as a tuple; ValueError unless it is words in lower case, each once."""
    if isinstance(words, str) or not isinstance(words, list | tuple) or not words:
        raise ValueError(f"words must be the list of all words; got {repr(words)[:100]}")
    for word in words:
        if not isinstance(word, str) or words_of(word) != [word]:
            raise ValueError(f"words must be single words in lower case; got {word!r}")
    if len(set(words)) < len(words):
        twice = next(word for i, word in enumerate(words) if word in words[:i])
        raise ValueError(f"words must differ from each other; got {twice!r} twice")
    return tuple(words)


def unknown_words(
    unknown: Sequence[str], text: str, known: Sequence[str], meant: Mapping[str, str] | None = None
) -> ValueError:
    """What to raise for words of a text that are not ``known``: it names the nearest ones.

    ``meant``: for words that people write, what they are called here.
    """
    meant, unknown = meant or {}, list(dict.fromkeys(unknown))
    near = [
        meant.get(word) or ", ".join(difflib.get_close_matches(word, known, n=3, cutoff=0.5))
        for word in unknown
    ]
    hint = f"; nearest: {'; '.join(filter(None, near))}" if any(near) else ""
    more = f" .. ({len(known)} words)" if len(known) > 100 else ""
    return ValueError(
        f"unknown word{'s' * (len(unknown) > 1)} {', '.join(map(repr, unknown))} in {text!r}{hint}."
        f" The vocabulary: {' '.join(known[:100])}{more}"
    )


def listed(texts: str | Sequence[str]) -> list[str]:
    """One text or several as a list; ValueError for anything that is no text: 3, None, [None]."""
    found = [texts] if isinstance(texts, str) else texts
    known = isinstance(found, Sequence | np.ndarray | set) and not isinstance(found, bytes)
    for text in found if known else [texts]:
        if not isinstance(text, str):
            raise ValueError(
                f'give a text or a list of texts ("" is no text); got {repr(text)[:100]}'
            )
    return list(found)
