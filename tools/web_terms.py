"""The glossary's terms in the texts of the web edition: which there are, and where one occurs."""

import re

ROW = re.compile(r"^\| ([^|]+?) \|[^|]*\|([^|]*)\| ((?:[^|\\]|\\.)+?) \|", re.MULTILINE)
CHINESE = re.compile(r"[\u4e00-\u9fff]{2,}")


def glossary_terms(text: str, chinese: bool = False) -> dict[str, str]:
    """The terms of the glossary's table and their meanings; "bound (ELBO)" gives two terms.

    `chinese`: those of the third column, which are usual in Chinese.
    """
    found = {}
    for term, usual, meaning in ROW.findall(text.split("\n|---", 1)[-1]):
        meaning = meaning.replace("\\|", "|").replace("`", "")
        for word in chinese_terms(usual) if chinese else english_terms(term):
            found.setdefault(word, meaning)
    return found


def english_terms(cell: str) -> list[str]:
    """What the first column of a row names: "bound (ELBO)" is two terms."""
    return [word for word in re.split(r" \(|\)$", cell) if word]


def chinese_terms(cell: str) -> list[str]:
    """The first of the renderings in the third column, if it is in Chinese characters alone."""
    first = re.split(r" \(|[,，、（]", cell.strip())[0]
    return [first] if CHINESE.fullmatch(first) else []


def term_id(term: str) -> str:
    return "term-" + re.sub(r"[^\w]+", "-", term.lower()).strip("-")


def terms_in(text: str, terms: dict[str, str]) -> list[tuple[int, int, str]]:
    """Where terms occur, each at its first place and none within another: (start, end, term)."""
    taken: list[tuple[int, int, str]] = []
    for term in sorted(terms, key=len, reverse=True):
        first = term[0] if term[1:2].isupper() else f"[{term[0].upper()}{term[0].lower()}]"
        pattern = rf"(?<![\w-]){first}{re.escape(term[1:])}(?:e?s)?(?![\w-])"
        if CHINESE.match(term):  # no blanks between words
            pattern = re.escape(term)
        for match in re.finditer(pattern, text):
            if all(match.end() <= start or match.start() >= end for start, end, _ in taken):
                taken.append((match.start(), match.end(), term))
                break
    return taken
