"""Is an optional package here? The book runs without them; some cells then say what they skip.

available   True or False, after one line of explanation where the answer is no
absence     that line: what is left out, and how to get the package
version     the version that is installed, or None
"""

import importlib.metadata
import importlib.util

# Package -> (what the book uses it for, how to get it).
USES = {
    "diffusers": (
        "the comparison with diffusers",
        'pip install -c constraints.txt -e ".[compare]"',
    ),
    "transformers": (
        "Stable Diffusion's text encoder",
        'pip install -c constraints.txt -e ".[compare]"',
    ),
}


def available(name: str, what: str = "", quiet: bool = False) -> bool:
    """Whether the package ``name`` can be imported; if not, print one line: what for, how to get.

    ``what`` says what a cell leaves out; without it the line says what the book uses ``name`` for.
    A package that is blocked (``sys.modules[name] = None``) counts as absent. Nothing is imported.
    Raises ValueError for a name that the book does not use.
    """
    if name not in USES:
        raise ValueError(f"name must be one of {', '.join(USES)}; got {name!r}")
    found = importlib.util.find_spec(name) is not None
    if not found and not quiet:
        print(absence(name, what))
    return found


def absence(name: str, what: str = "") -> str:
    """The line in a result's place where the package is absent; ``what`` names the result."""
    purpose, remedy = USES[name]
    return f"[skipped] {what or purpose}: needs {name}, which is not installed. To get it: {remedy}"


def version(name: str) -> str | None:
    """The installed version of a package, without importing it; None where it is absent."""
    if not available(name, quiet=True):
        return None
    return importlib.metadata.version(name)
