"""Make the generated pages of docs/: every numbered equation, and every erratum.

python tools/pages.py
"""

import json
import sys
from pathlib import Path

BOOK = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(BOOK / "tests" / "equations"))

from errata import ERRATA  # noqa: E402
from registry import registered  # noqa: E402


def chapter_file(prefix: str) -> str:
    """The name, without ending, of the chapter whose file begins with ``prefix``."""
    [path] = (BOOK / "chapters" / "source").glob(f"{prefix}_[a-z]*.md")
    return path.stem


def equations() -> str:
    """One row per numbered equation: number, what it says, chapter, code."""
    lines = [
        "# Equations",
        "",
        "Every numbered equation of the book, where it is printed, and the code that computes it.",
        "Each has a check in `tests/equations/` that compares the printed formula with that code;",
        "`make test` fails if one is missing or wrong. Made by `make pages`.",
        "",
        "| equation | what | chapter | code |",
        "|---|---|---|---|",
    ]
    for e in registered():
        code = e.function.removeprefix("cell ")
        code = f"cell `{code}`" if e.function.startswith("cell ") else f"`{code}`"
        lines.append(f"| ({e.id}) | {e.what} | {_link(e.chapter)} | {code} |")
    return "\n".join(lines) + "\n"


def errata() -> str:
    """One row per erratum: what the article says, what is the case, where it is shown and kept."""
    lines = [
        "# Errata of the article",
        "",
        "What the article says, what is the case, the cells that show it by running something, and",
        "the checks that keep it shown. Made by `make pages`.",
        "",
        "| | section | the article says | what is the case | shown in | kept by |",
        "|---|---|---|---|---|---|",
    ]
    for e in ERRATA:
        shown = ", ".join(f"{_link(chapter_file(c))} `{cell}`" for c, cell in e.cells)
        kept = ", ".join(f"`{c.split('::')[1]}`" if "::" in c else f"({c})" for c in e.checks)
        cells = (e.number, e.section, e.says, e.case, shown or "not yet", kept)
        lines.append("| " + " | ".join(str(c).replace("|", "\\|") for c in cells) + " |")
    return "\n".join(lines) + "\n"


def figures() -> str:
    """The README's table: what the text-to-image models do, from data/results.json."""
    results = json.loads((BOOK / "data" / "results.json").read_text(encoding="utf-8"))
    shapes, table = results["shapes"], results["pixels"]
    rows = {
        "unseen captions, 25 evaluations per branch": "unseen_captions",
        "the same, by plain DDIM": "unseen_captions_ddim",
        "pairs of colour and shape never seen together in training": "held_out_combinations",
        "8 evaluations per branch, DPM-Solver++(2M)": "few_evaluations_dpmpp_2m",
    }
    lines = [
        "| asked for | right in all ten attributes, mean | over seeds | each at least (95 %) |"
    ]
    lines.append("|---|---|---|---|")
    for what, name in rows.items():
        joint, runs = shapes[name]["joint"], shapes[name]["runs"]
        bound = min(run["lower_bound_95"] for run in runs)
        band = f"{joint['min']:.1%} to {joint['max']:.1%}"
        lines.append(f"| {what} | {joint['mean']:.1%} | {band} | {bound:.1%} |")
    lines += [
        "",
        "The same task by diffusion on latents and on pixels, trained for the same time:",
        "",
    ]
    lines += ["| | training | right | operations per image | 16 images |", "|---|---|---|---|---|"]
    for name in ("latents", "pixels"):
        r = table[name]
        lines.append(
            f"| {name} | {r['training_seconds']['sum'] / 60:.0f} minutes | "
            f"{r['joint']['mean']:.1%} | {r['gflop_per_image']:.1f} GFLOP | "
            f"{r['seconds_for_16_images']['median']:.1f} s |"
        )
    return "\n".join(lines) + "\n"


def readme(text: str) -> str:
    """The README with the table of ``figures`` at its place."""
    head, rest = text.split(START)
    return f"{head}{START}\n{figures()}{END}{rest.split(END, 1)[1]}"


def _link(chapter: str) -> str:
    number = ".".join(str(int(part)) for part in chapter.split("_") if part.isdigit())
    return f"[{number}](../chapters/{chapter}.ipynb)"


START, END = "<!-- figures: made by `make pages` -->", "<!-- end -->"
PAGES = {"equations.md": equations, "errata.md": errata}

if __name__ == "__main__":
    for name, make in PAGES.items():
        (BOOK / "docs" / name).write_text(make(), encoding="utf-8")
        print(f"docs/{name}")
    place = BOOK / "README.md"
    place.write_text(readme(place.read_text(encoding="utf-8")), encoding="utf-8")
    print("README.md")
