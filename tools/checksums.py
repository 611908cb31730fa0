"""Write data/checkpoints/SHA256SUMS: what the files of the book's models are.

python tools/checksums.py    after one of them was made anew, on purpose
"""

from check_machine import BOOK, SUMS, digest

from minildm.files.checkpoint import replace_files

FOLDER = BOOK / "data" / "checkpoints"


def listed() -> bytes:
    """One line per file, as the program sha256sum writes and checks them."""
    files = sorted(path for path in FOLDER.glob("*/*") if path.is_file())
    return "".join(f"{digest(p)}  {p.relative_to(FOLDER).as_posix()}\n" for p in files).encode()


if __name__ == "__main__":
    replace_files(FOLDER, {SUMS: listed()})
    print(FOLDER / SUMS)
