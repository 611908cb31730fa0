"""The real package with one line changed, in memory: nothing on disk is touched.

    with planted(exhibit) as package:
        package.samplers.sample(...)   # modules of the copy, loaded when first asked for

Inside the block `import minildm` means the copy; after it, everything is as it was.
"""

import importlib
import importlib.abc
import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType

NAME = "minildm"
ROOT = Path(importlib.util.find_spec(NAME).origin).parent


class Package:
    """``package.samplers`` is the module minildm.samplers: the reader's own, or a planted one.

    ``package.fit`` is minildm.engine.fit: the modules of a training are asked for as the others.
    """

    def __init__(self) -> None:
        self._modules: dict[str, ModuleType] = {}
        self._open = True

    def __getattr__(self, name: str) -> ModuleType:
        if name.startswith("_"):
            raise AttributeError(name)
        if name not in self._modules:
            if not self._open:
                raise RuntimeError(
                    f"{NAME}.{name} was not loaded while this package was planted: use it inside "
                    "the with block"
                )
            inner = "engine." if (ROOT / "engine" / f"{name}.py").is_file() else ""
            self._modules[name] = importlib.import_module(f"{NAME}.{inner}{name}")
        return self._modules[name]


def changed_source(exhibit) -> str:
    """The source of ``exhibit.file`` with ``right`` replaced by ``wrong``.

    Raises ValueError unless ``right`` occurs exactly once, and if nothing would change.
    """
    source = (ROOT / exhibit.file).read_text(encoding="utf-8")
    count = source.count(exhibit.right)
    if count != 1 or exhibit.right == exhibit.wrong:
        raise ValueError(
            f"{exhibit.name}: the right line occurs {count} times in {exhibit.file}, expected one "
            "that differs from the wrong line; the package has changed, so change the exhibit"
        )
    return source.replace(exhibit.right, exhibit.wrong)


class _Loader(SourceFileLoader):
    """Compiles the changed source. Neither reads nor writes the cache of compiled files."""

    def __init__(self, fullname: str, path: str, source: str) -> None:
        super().__init__(fullname, path)
        self._source = source

    def get_source(self, fullname: str) -> str:
        return self._source

    def get_code(self, fullname: str):
        return compile(self._source, f"{self.path} (planted)", "exec", dont_inherit=True)


class _Finder(importlib.abc.MetaPathFinder):
    """Finds one module, the changed one; all others are found as always."""

    def __init__(self, exhibit) -> None:
        self.module = f"{NAME}.{exhibit.file.removesuffix('.py').replace('/', '.')}"
        self.path, self.source = str(ROOT / exhibit.file), changed_source(exhibit)

    def find_spec(self, fullname, path=None, target=None):
        if fullname != self.module:
            return None
        loader = _Loader(fullname, self.path, self.source)
        return importlib.util.spec_from_file_location(fullname, self.path, loader=loader)


@contextmanager
def planted(exhibit) -> Iterator[Package]:
    """A fresh copy of the package in which one line is ``exhibit.wrong``, within the block.

    ``exhibit`` needs ``name``, ``file`` (inside minildm/), ``right`` and ``wrong``. May be nested:
    each block has its own copy, with its own fault only. Raises ValueError as ``changed_source``.
    """
    finder, package = _Finder(exhibit), Package()
    outside, finders = _taken_out(), list(sys.meta_path)
    sys.meta_path[:] = [finder, *(f for f in finders if not isinstance(f, _Finder))]
    try:
        yield package
    finally:
        package._open = False
        sys.meta_path[:] = finders
        _taken_out()
        sys.modules.update(outside)


def _taken_out() -> dict[str, ModuleType]:
    """Remove all modules of the package from those that are loaded, and return them."""
    names = [name for name in sys.modules if name == NAME or name.startswith(f"{NAME}.")]
    return {name: sys.modules.pop(name) for name in names}
