"""CLIP's tokenizer: a prompt becomes 77 numbers.

Text -> words -> bytes -> pieces -> numbers. Byte-pair encoding joins neighbouring pieces for as
long as a pair is in the list of merges, the earlier in the list the sooner. Sennrich et al. 2016
(arXiv 1508.07909); Radford et al. 2021 (arXiv 2103.00020), section 2.4, for CLIP.
"""

import itertools
import json
import re
import unicodedata
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from minildm.words import listed

LENGTH = 77  # token numbers of a prompt, its begin and end among them
BEGIN, END = "<|startoftext|>", "<|endoftext|>"
STOP = "</w>"  # ends the last piece of a word
# Unicode's White_Space. str.isspace is another set: it has the separators U+001C to U+001F as well
SPACES = re.compile("[\t\n\v\f\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+")
WHOLE = re.compile(rf"{re.escape(BEGIN)}|{re.escape(END)}|'(?:s|t|re|ve|m|ll|d)")
RUN = re.compile("L+|N|O+")  # in a text of kinds: letters; one digit; others
VISIBLE = {*range(33, 127), *range(161, 173), *range(174, 256)}  # bytes that are their own letter
OTHERS = iter(range(256, 512))
LETTERS = [chr(byte if byte in VISIBLE else next(OTHERS)) for byte in range(256)]  # of each byte


def words_of(text: str) -> list[str]:
    """The words of a text, in lower case: runs of letters, single digits, runs of other signs.

    Lower case character by character: a final sigma stays σ.
    """
    text = SPACES.sub(" ", unicodedata.normalize("NFC", text))
    text = "".join(character.lower() for character in text)
    kinds = "".join(c if c == " " else unicodedata.category(c)[0] for c in text)
    kinds = re.sub("[^LN ]", "O", kinds)
    words, place = [], 0
    while place < len(text):
        whole, run = WHOLE.match(text, place), RUN.match(kinds, place)
        if whole and whole[0][0] == "'":
            words.append(whole[0])  # an ending such as 's
        elif whole:
            words += re.findall(r"\w+|\W+", whole[0])  # <|, startoftext, |>: no marker any more
        elif run:
            words.append(text[place : run.end()])
        found = whole or run
        place = found.end() if found else place + 1  # none: a space
    return words


class Tokenizer:
    """tokenizer(prompts) -> ids (B, 77): BEGIN, the pieces of the prompt, END, then ``pad``.

    vocab   the number of each piece, those of BEGIN and END among them
    merges  pairs of pieces that are joined, the first of the list first
    pad     the piece that fills up: END with CLIP-L (Stable Diffusion 1), "!" (number 0) with
            OpenCLIP (Stable Diffusion 2, and the second encoder of XL)

    BEGIN, END and ``pad`` in a prompt are those very tokens, as in the reference: with OpenCLIP
    every "!" of a prompt becomes padding. Raises ValueError where the vocabulary lacks one of them.
    """

    def __init__(
        self, vocab: Mapping[str, int], merges: Sequence[Sequence[str]], pad: str = END
    ) -> None:
        stopped = [letter + STOP for letter in LETTERS]
        if missing := {BEGIN, END, pad, *LETTERS, *stopped} - vocab.keys():
            raise ValueError(f"vocab lacks {len(missing)} pieces, such as {min(missing)!r}")
        self.vocab, self.pad = dict(vocab), pad
        self.rank = {(first, second): i for i, (first, second) in enumerate(merges)}

    @classmethod
    def read(cls, folder: str | Path) -> Self:
        """The tokenizer of a folder: vocab.json and merges.txt, or else tokenizer.json.

        Raises FileNotFoundError where neither is there.
        """
        place, pad = Path(folder), END
        for name in ("tokenizer_config.json", "special_tokens_map.json"):  # the later one counts
            said = _json(place / name) if (place / name).is_file() else {}
            pad = said.get("pad_token") or pad
            pad = pad["content"] if isinstance(pad, dict) else pad
        if (place / "vocab.json").is_file() and (place / "merges.txt").is_file():
            vocab = _json(place / "vocab.json")
            merges = (place / "merges.txt").read_text(encoding="utf-8").strip().split("\n")
            merges = merges[merges[0].startswith("#version") :]
        elif (place / "tokenizer.json").is_file():
            model = _json(place / "tokenizer.json")["model"]
            vocab, merges = model["vocab"], model["merges"]
        else:
            raise FileNotFoundError(
                f"{place} has no tokenizer: vocab.json and merges.txt, or tokenizer.json"
            )
        return cls(vocab, [m.split(" ") if isinstance(m, str) else m for m in merges], pad)

    def __call__(self, prompts: str | Sequence[str]) -> Tensor:
        """Token numbers int64 (B, 77). What does not fit is left out, with a warning that says it.

        Raises ValueError for what is no text.
        """
        rows, room = [], LENGTH - 2
        for prompt in listed(prompts):
            pieces = self.pieces(prompt)
            if len(pieces) > room:
                warnings.warn(
                    f"a prompt has {len(pieces)} tokens, and {room} are read; left out: "
                    f"{text_of(pieces[room:])!r}",
                    stacklevel=2,
                )
            row = [BEGIN, *pieces[:room], END, *[self.pad] * (room - len(pieces))]
            rows.append([self.vocab.get(piece, self.vocab[END]) for piece in row])
        return torch.tensor(rows, dtype=torch.int64).reshape(-1, LENGTH)  # (B, 77)

    def pieces(self, prompt: str) -> list[str]:
        """The pieces of one prompt, as many as there are."""
        markers = "|".join(map(re.escape, (BEGIN, END, self.pad)))
        pieces: list[str] = []
        for part in re.split(f"({markers})", prompt):
            if part in (BEGIN, END, self.pad):
                pieces.append(part)
            else:
                pieces += itertools.chain.from_iterable(map(self._cut, words_of(part)))
        return pieces

    def _cut(self, word: str) -> list[str]:
        """The pieces of a word: its bytes, of which the best pair is joined until none is left."""
        pieces = [LETTERS[byte] for byte in word.encode("utf-8")]
        pieces[-1] += STOP
        while pairs := self.rank.keys() & set(itertools.pairwise(pieces)):
            best = min(pairs, key=self.rank.__getitem__)
            joined: list[str] = []
            for piece in pieces:
                if joined and (joined[-1], piece) == best:
                    joined[-1] += piece
                else:
                    joined.append(piece)
            pieces = joined
        return pieces


def text_of(pieces: Sequence[str]) -> str:
    """The text of such pieces, a space after each word; "�" where a character is cut in two."""
    words = "".join(pieces).replace(STOP, " ").split(" ")
    spelt = [bytes(LETTERS.index(letter) for letter in word) for word in words]
    return b" ".join(spelt).decode("utf-8", errors="replace").strip()


def _json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))
