"""Write data/checkpoints/SHA256SUMS: what the files of the book's models are.

python tools/checksums.py    after one of them was made anew, on purpose
"""

from check_machine import CHECKPOINTS, SUMS, digest

from minildm.files.checkpoint import replace_files


def listed() -> bytes:
    """One line per file, as the program sha256sum writes and checks them."""
    files = sorted(path for path in CHECKPOINTS.glob("*/*") if path.is_file())
    lines = [f"{digest(path)}  {path.relative_to(CHECKPOINTS).as_posix()}\n" for path in files]
    return "".join(lines).encode()


if __name__ == "__main__":
    replace_files(CHECKPOINTS, {SUMS: listed()})
    print(f"data/checkpoints/{SUMS}")
