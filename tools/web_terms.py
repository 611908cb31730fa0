"""The glossary's terms in the texts of the web edition: which there are, and where one occurs."""

import re

ROW = re.compile(r"^\| ([^|]+?) \|[^|]*\|[^|]*\| ((?:[^|\\]|\\.)+?) \|", re.MULTILINE)


def glossary_terms(text: str) -> dict[str, str]:
    """The terms of the glossary's table and their meanings; "bound (ELBO)" gives two terms."""
    found = {}
    for term, meaning in ROW.findall(text):
        if term == "term" or set(term) <= {"-", " "}:
            continue
        meaning = meaning.replace("\\|", "|").replace("`", "")
        for word in re.split(r" \(|\)$", term):
            if word:
                found[word] = meaning
    return found


def term_id(term: str) -> str:
    return "term-" + re.sub(r"[^\w]+", "-", term.lower()).strip("-")


def terms_in(text: str, terms: dict[str, str]) -> list[tuple[int, int, str]]:
    """Where terms occur, each at its first place and none within another: (start, end, term)."""
    taken: list[tuple[int, int, str]] = []
    for term in sorted(terms, key=len, reverse=True):
        first = term[0] if term[1:2].isupper() else f"[{term[0].upper()}{term[0].lower()}]"
        pattern = rf"(?<![\w-]){first}{re.escape(term[1:])}(?:e?s)?(?![\w-])"
        for match in re.finditer(pattern, text):
            if all(match.end() <= start or match.start() >= end for start, end, _ in taken):
                taken.append((match.start(), match.end(), term))
                break
    return taken
