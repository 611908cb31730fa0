"""Citations: `[@ho2020ddpm]` in a chapter's source, a linked name and year in the notebook.

The references live in one file, chapters/references.bib, one field a line, in Unicode. `[@a; @b]`
cites several. A line that holds only `[@*]` becomes the list of everything the chapter cites.
"""

import re
from pathlib import Path

ENTRY = re.compile(r"^@(\w+)\{([^,\s]+),\s*\n(.*?)^\}", re.MULTILINE | re.DOTALL)
FIELD = re.compile(r"^\s*(\w+)\s*=\s*\{(.*)\},?\s*$", re.MULTILINE)
KEY = r"@[A-Za-z][\w:-]*"
CITATION = re.compile(rf"\[({KEY}(?:;\s*{KEY})*)\]")
LIST = re.compile(r"^\[@\*\]$", re.MULTILINE)


def read_bibliography(path: Path) -> dict[str, dict[str, str]]:
    """All entries of a .bib file by key; `ValueError` for a key twice or without the basics."""
    entries: dict[str, dict[str, str]] = {}
    text = path.read_text(encoding="utf-8")
    found, begun = ENTRY.findall(text), len(re.findall(r"^@", text, re.MULTILINE))
    if len(found) != begun:
        raise ValueError(
            f"{path.name}: {len(found)} of {begun} entries can be read: put each field on its own "
            "line, and the closing } of an entry at the start of a line"
        )
    for kind, key, body in found:
        if key in entries:
            raise ValueError(f"{path.name}: the key {key!r} occurs twice: rename or drop one")
        entries[key] = {"kind": kind.lower()} | dict(FIELD.findall(body))
        for field in ("author", "title", "year"):
            if not entries[key].get(field):
                raise ValueError(f"{path.name}: {key!r} has no {field}: add a line {field} = {{…}}")
        if link(entries[key]) is None:
            raise ValueError(f"{path.name}: {key!r} has no url, doi or eprint (arXiv): add one")
    return entries


def cited(text: str) -> list[str]:
    """The keys cited in a text, each once, in order of appearance."""
    keys = [key.strip()[1:] for group in CITATION.findall(text) for key in group.split(";")]
    return list(dict.fromkeys(keys))


def expand(text: str, entries: dict[str, dict[str, str]], all_keys: list[str]) -> str:
    """Replace each citation by a linked name and year, and `[@*]` by the list of `all_keys`."""

    def short(match: re.Match[str]) -> str:
        return "; ".join(
            f"[{names(entries[key]['author'])} ({entries[key]['year']})]({link(entries[key])})"
            for key in cited(match.group(0))
        )

    def full(_: re.Match[str]) -> str:
        order = sorted(all_keys, key=lambda key: (entries[key]["author"], entries[key]["year"]))
        return "\n".join(f"- {reference(entries[key])}" for key in order)

    return LIST.sub(full, CITATION.sub(short, text))


def names(author: str) -> str:
    """Family names as they stand in a sentence: `Ho`, `Ho and Salimans`, `Ho et al.`."""
    family = [person.split(",")[0].strip() for person in author.split(" and ")]
    if len(family) > 2:
        return f"{family[0]} et al."
    return " and ".join(family)


def reference(entry: dict[str, str]) -> str:
    """One line of the reference list."""
    people = "; ".join(person.strip() for person in entry["author"].split(" and "))
    venue = entry.get("journal") or entry.get("booktitle") or entry.get("publisher")
    parts = [f"{people} ({entry['year']})", f"[{entry['title']}]({link(entry)})", venue]
    return ". ".join(part for part in parts if part) + "."


def link(entry: dict[str, str]) -> str | None:
    """Where a reader finds the work: its url, else its DOI, else its arXiv page."""
    if entry.get("url"):
        return entry["url"]
    if entry.get("doi"):
        return f"https://doi.org/{entry['doi']}"
    return f"https://arxiv.org/abs/{entry['eprint']}" if entry.get("eprint") else None
