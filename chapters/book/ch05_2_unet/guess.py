"""What the reader said before the answer was there."""

from typing import Any

from book.exercises import is_blank


def said(guess: Any) -> str:
    """What the reader guessed; or, while the dots still stand in the cell, a nudge to guess."""
    if is_blank(guess):
        return "no guess yet: replace the dots above, and run both cells"
    given = " and ".join(str(part) for part in guess) if isinstance(guess, tuple) else guess
    return f"you said {given}"
