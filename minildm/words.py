"""Texts are lists of words, and words are numbers.

    words_of, vocabulary_of  texts -> words
    Language                 which texts can be read
    tokenize                 texts -> token numbers (n, length)
"""

import difflib
import re
import string
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from minildm.checks import inputs

PAD, NULL = 0, 1  # token numbers: nothing more to read; no text at all. Words begin at 2
# What prompts must be beyond known words, by the name that a language has for it: a function that
# raises ValueError for other texts. shapes/captions.py has one.
GRAMMARS: dict[str, Callable[[str], Any]] = {}


def words_of(text: str) -> list[str]:
    """The words of a text in lower case: what lies between spaces and (ASCII) punctuation."""
    return re.findall(rf"[^\s{re.escape(string.punctuation)}]+", text.lower())


def vocabulary_of(texts: Sequence[str]) -> tuple[str, ...]:
    """All words of these texts, each once, in the order of the alphabet."""
    return tuple(sorted({word for text in listed(texts) for word in words_of(text)}))


@dataclass(frozen=True)
class Language:
    """Which texts can be read.

    words    in lower case; the place of a word gives its token number
    length   words of the longest text
    grammar  a name of ``GRAMMARS``, for what prompts must be beyond known words; "": nothing

    Raises ValueError, naming the field, for a value that makes no sense.
    """

    words: tuple[str, ...]
    length: int = 16
    grammar: str = ""

    def __post_init__(self) -> None:
        words = self.words
        if not isinstance(words, list | tuple) or not words:
            raise ValueError(f"words must be the list of all words; got {repr(words)[:100]}")
        for word in words:
            if not isinstance(word, str) or words_of(word) != [word]:
                raise ValueError(f"words must be single words in lower case; got {word!r}")
        if len(set(words)) < len(words):
            twice = next(word for i, word in enumerate(words) if word in words[:i])
            raise ValueError(f"words must differ from each other; got {twice!r} twice")
        object.__setattr__(self, "words", tuple(words))
        inputs.whole_fields(self, 1, 2**14, "length")
        if not isinstance(self.grammar, str) or self.grammar not in ("", *GRAMMARS):
            known = ", ".join(map(repr, ("", *GRAMMARS)))
            raise ValueError(f"grammar must be one of {known}; got {self.grammar!r}")

    @classmethod
    def of(cls, texts: Sequence[str], **more: Any) -> Self:
        """For the words of these texts, and for texts as long as the longest of them."""
        length = max((len(words_of(text)) for text in listed(texts)), default=0)
        return cls(vocabulary_of(texts), **{"length": length, **more})

    @property
    def vocabulary(self) -> int:
        """How many token numbers there are: the words', PAD and NULL."""
        return len(self.words) + 2


def tokenize(texts: str | Sequence[str], language: Language) -> Tensor:
    """Texts as token numbers: int64 (n, length), filled up with PAD; "" is NULL: no text.

    Looks at words, not at grammar. Raises ValueError for unknown words, for texts that are too
    long, and for what is no text.
    """
    number = {word: i for i, word in enumerate(language.words, NULL + 1)}
    rows, length = [], language.length
    for text in listed(texts):
        words = words_of(text)
        unknown = [word for word in words if word not in number]
        if unknown:
            raise unknown_words(unknown, text, language.words)
        if not words and text.strip():
            raise ValueError(f'{text!r} has no words; "" is no text')
        if len(words) > length:
            raise ValueError(f"{text!r} has {len(words)} words; at most {length} can be read")
        numbers = [number[word] for word in words] or [NULL]
        rows.append(numbers + [PAD] * (length - len(numbers)))
    return torch.tensor(rows, dtype=torch.int64).reshape(-1, length)  # (n, length)


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
