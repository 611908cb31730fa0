"""Small tokenizers, text encoders and an SD3 of the reference: what ours must compute."""

import functools
import itertools
import random
import unicodedata
from collections import Counter
from typing import Any

import pytest
import torch
from sd_reference import randomise
from torch import Tensor

BEGIN, END = "<|startoftext|>", "<|endoftext|>"
SENTENCES = (
    "a photo of an astronaut riding a horse on mars, highly detailed, 8k. don't stop! "
    "the reader's own portrait; a café in Zürich at night, 日本の写真, два кота и ελληνικά. "
    "hello hello hello help a small red circle left of a large blue square !! ... 2024 1000 42"
)
ENCODERS: dict[str, dict[str, Any]] = {
    "clip-l": {"hidden_act": "quick_gelu", "num_hidden_layers": 3, "eos_token_id": 2},
    "openclip-h": {"hidden_act": "gelu", "num_hidden_layers": 4, "eos_token_id": 299},
    "openclip-g": {"hidden_act": "gelu", "num_hidden_layers": 3, "eos_token_id": 299},
}
MMDITS: dict[str, dict[str, Any]] = {"sd3": {"qk_norm": None}, "sd3.5": {"qk_norm": "rms_norm"}}


def byte_letters() -> dict[int, str]:
    """The visible letter of each byte, as GPT-2 chose them: another wording of the tokenizer's."""
    kept = [b for b in range(256) if chr(b).isprintable() and chr(b) not in " \xa0\xad"]
    kept = [b for b in kept if b != 127]
    rest = [b for b in range(256) if b not in kept]
    return {**{b: chr(b) for b in kept}, **{b: chr(256 + i) for i, b in enumerate(rest)}}


@functools.cache
def vocabulary(count: int = 120) -> tuple[dict[str, int], tuple[tuple[str, str], ...]]:
    """(vocab, merges) in CLIP's order: bytes, bytes that end a word, joined pieces, begin, end.

    "!" is number 0. The merges are learned from SENTENCES, the most frequent pair first.
    """
    letters = byte_letters()
    ordered = [letters[b] for b in sorted(letters, key=lambda b: letters[b])]
    spelt = [[letters[b] for b in word.encode()] for word in SENTENCES.lower().split()]
    words = [[*word[:-1], word[-1] + "</w>"] for word in spelt]
    merges: list[tuple[str, str]] = []
    while len(merges) < count:
        pairs = Counter(pair for word in words for pair in itertools.pairwise(word))
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(best)
        for word in words:
            for i in reversed(range(len(word) - 1)):
                if tuple(word[i : i + 2]) == best:
                    word[i : i + 2] = ["".join(best)]
    pieces = [*ordered, *(letter + "</w>" for letter in ordered), *map("".join, merges)]
    return {piece: i for i, piece in enumerate([*pieces, BEGIN, END])}, tuple(merges)


@functools.cache
def reference_tokenizer(pad: str = END) -> Any:
    """A ``CLIPTokenizer`` of this small vocabulary."""
    transformers = pytest.importorskip("transformers")
    vocab, merges = vocabulary()
    return transformers.CLIPTokenizer(
        vocab=vocab, merges=list(merges), pad_token=pad, model_max_length=77
    )


def reference_ids(prompts: list[str], pad: str = END) -> Tensor:
    """Token numbers (B, 77) of the reference."""
    tokenizer = reference_tokenizer(pad)
    return tokenizer(
        prompts, padding="max_length", max_length=77, truncation=True, return_tensors="pt"
    ).input_ids


def stable(character: str) -> bool:
    """Whether every version of Unicode that is in use says the same of a character."""
    return unicodedata.ucd_3_2_0.category(character) not in ("Cn", "Cs")


PARTS = [
    "a", "Z", "hello", "HELLO", "astronaut", "detailed", "photo of", "ÉCOLE", "e\u0301",
    "A\u030a", "ﬁ", "İ", "ı", "ß", "ẞ", "ſ", "Σ", "ΌΣΟΣ", "ǅ", "Ǆ", "\u212a", "\u212b", "日本",
    "の写真", "한국", "\u1112\u1161\u11ab", "два", "ελληνικά", "שלום", "\u05b0", "سلام", "हिन्दी",
    "ไทย", "\u0e33", "😀", "👩\u200d👩\u200d👧", "🏳\ufe0f\u200d🌈", "🇩🇪", "❤\ufe0f",
    "1", "42", "½", "²", "Ⅷ",
    "①", "٣", "一", "〇", "'", "'s", "'S", "'t", "'re", "'ve", "'m", "'ll", "'d", "'ſ", "’s",
    "don't", "I'LL", "''s", "!'s", "!", "!!", "?!", ".", ",", "...", "…", "-", "—", "_", "(", "((",
    ")", ":1.2", "<", "|", ">", "</w>", BEGIN, END, BEGIN.upper(), "<|EndOfText|>", "<|end", " ",
    "  ", "\t", "\n", "\r\n", "\v", "\f", "\x85", "\xa0", "\u1680", "\u2003", "\u2028", "\u202f",
    "\u3000", "\u180e", "\u200b", "\u200d", "\ufeff", "\x00", "\x01", "\x1b", "\x1c", "\x1d",
    "\x1e", "\x1f", "\x7f", "\xad", "\ufffd", "\U0001d7d8", "\U0001d504", "\U000e0041",
    "\U0010ffff", "\ue000",
]  # fmt: skip


def awkward() -> list[str]:
    """More than 600 strings: each part alone and within a word, mixtures, very long ones."""
    draw = random.Random(0)
    mixed = ["".join(draw.choices(PARTS, k=draw.randint(2, 12))) for _ in range(400)]
    long = ["a" * 500, "é" * 200, "hello " * 200, "!" * 300, "日" * 120, "x1" * 90, " " * 1000]
    return ["", *PARTS, *(f"aB{part}c" for part in PARTS), *mixed, *long]


def reference_text(kind: str = "clip-l", dtype: torch.dtype = torch.float64, seed: int = 4) -> Any:
    """A ``CLIPTextModel`` of one of ENCODERS, of 300 tokens; openclip-g is one with projection."""
    transformers = pytest.importorskip("transformers")
    projects = kind == "openclip-g"
    config = transformers.CLIPTextConfig(
        vocab_size=300, hidden_size=24, intermediate_size=40, num_attention_heads=4,
        projection_dim=10, bos_token_id=298, pad_token_id=0, **ENCODERS[kind],
    )  # fmt: skip
    model = transformers.CLIPTextModelWithProjection if projects else transformers.CLIPTextModel
    config.architectures = [model.__name__]
    return randomise(model(config), seed).to(dtype)


def text_ids() -> Tensor:
    """Token numbers (4, 77): begin 298, end 299, then 0 or 299; a full one, an empty one."""
    ids = torch.randint(298, (4, 77), generator=torch.Generator().manual_seed(5))
    ids[:, 0] = 298
    ids[0, 5:], ids[1, 9], ids[1, 10:], ids[2, 76], ids[3, 1:] = 299, 299, 0, 299, 299
    return ids


def reference_mmdit(kind: str = "sd3", dtype: torch.dtype = torch.float64, seed: int = 6) -> Any:
    """An ``SD3Transformer2DModel`` of one of MMDITS."""
    diffusers = pytest.importorskip("diffusers")
    model = diffusers.SD3Transformer2DModel(
        sample_size=16, patch_size=2, in_channels=4, out_channels=4, num_layers=3,
        attention_head_dim=8, num_attention_heads=3, caption_projection_dim=24,
        joint_attention_dim=10, pooled_projection_dim=12, pos_embed_max_size=12, **MMDITS[kind],
    )  # fmt: skip
    return randomise(model, seed).to(dtype)
