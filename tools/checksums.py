"""Write data/checkpoints/SHA256SUMS: what the files of the book's models are.

python tools/checksums.py    after one of them was made anew, on purpose
"""

from situation import BOOK, MODELS, SUMS, digest

from minildm.files.checkpoint import replace_files


def listed() -> bytes:
    """One line per file, as the program sha256sum writes and checks them."""
    folder = BOOK / MODELS
    files = sorted(path for path in folder.glob("*/*") if path.is_file())
    return "".join(f"{digest(p)}  {p.relative_to(folder).as_posix()}\n" for p in files).encode()


if __name__ == "__main__":
    replace_files(BOOK / MODELS, {SUMS: listed()})
    print(MODELS / SUMS)
