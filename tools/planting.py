"""Run tests against a copy of the tree with one planted fault, each time in a fresh process.

Importing torch and what else the tests need takes longer than most of them. Where processes can be
forked (Linux), it is imported once, and every run is a child of the process that has it: minildm is
imported anew there, from the copy. Elsewhere each run starts Python again.
"""

import contextlib
import importlib
import importlib.metadata
import json
import os
import py_compile
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FILES = ("pyproject.toml", "constraints.txt", "conftest.py")
COPIED = ("minildm", "tests", "tools", "data", "chapters", "course", "benchmarks", *FILES)
IGNORED = shutil.ignore_patterns("__pycache__", ".hypothesis", ".ipynb_checkpoints")
WARM = [
    *("torch", "torch.nn.functional", "torch.utils.data", "accelerate", "safetensors.torch"),
    *("numpy", "numpy.testing", "matplotlib.pyplot", "PIL.Image", "mpmath", "sympy"),
    *("sklearn.datasets", "sklearn.linear_model", "mlxtend.data", "hypothesis.strategies"),
    *("IPython.display", "ipywidgets", "anywidget", "nbformat", "jupytext", "tqdm.auto"),
]
# Modules that a run must not find loaded: the copy has its own.
OURS = {
    "minildm", "book", "benchmarks", "mutants",
    *(path.stem for path in (ROOT / "tools").glob("*.py")),
}  # fmt: skip
FORKS = sys.platform == "linux"
LIMIT = 900  # seconds; a fault that makes a test run for ever ends here


@dataclass
class Run:
    """What pytest said: its exit status, the first red test ("" if none), and CPU seconds.

    The seconds are those of the first red test alone, or of all tests where none is red.
    """

    status: int
    red: str = ""
    seconds: float = 0.0


def cpu_seconds() -> float:
    """CPU time of this process and of those that it started and that ended."""
    return sum(os.times()[:4])


class FirstRed:
    """A plugin of pytest that keeps the first test or file that failed, and its time."""

    def __init__(self) -> None:
        self.start, self.red, self.seconds = cpu_seconds(), "", 0.0
        self.collected = self.begun = self.start

    def _look(self, report) -> None:
        if report.failed and not self.red:
            self.red = report.nodeid
            self.seconds = self.collected - self.start + cpu_seconds() - self.begun

    pytest_collectreport = pytest_runtest_logreport = _look

    def pytest_collection_finish(self) -> None:
        self.collected = self.begun = cpu_seconds()

    def pytest_runtest_logstart(self) -> None:
        self.begun = cpu_seconds()


# --- one run of pytest ----------------------------------------------------------------------------


def in_this_process(folder: Path, tests, first: bool) -> Run:
    """Run ``tests`` in the copy ``folder``, whose minildm comes before any other."""
    import pytest

    os.chdir(folder)
    ours = [str(folder), str(folder / "chapters")]
    os.environ.update(PYTHONPATH=os.pathsep.join(ours), OMP_NUM_THREADS="1")
    own = {str(ROOT), *(str(ROOT / name) for name in ("chapters", "tests", "tools"))}
    sys.path[:] = [*ours, *(path for path in sys.path if path not in own)]
    for name in {*sys.modules} - {"__main__"}:
        if name.split(".")[0] in OURS:
            del sys.modules[name]
    options = ["-q", "-p", "no:cacheprovider", "--tb=no", "-W", "ignore"]
    options += ["-x"] if first else []
    plugin = FirstRed()
    status = int(pytest.main([*options, *tests], plugins=[plugin]))
    used = getattr(sys.modules.get("minildm"), "__file__", None)
    if used and folder not in Path(used).parents:
        status, plugin.red = -1, f"the tests used {used} and not the copy"
    return Run(status, plugin.red, plugin.seconds or cpu_seconds() - plugin.start)


def _write(answer: Path, run: Run) -> None:
    answer.write_text(json.dumps(vars(run)), encoding="utf-8")


def _forked(folder: Path, tests, first: bool, answer: Path) -> None:
    """The same in a forked child, which is ended with all that it started at the time limit."""
    child = os.fork()
    if child == 0:
        os.setsid()
        silent = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(silent, stream)
        with contextlib.suppress(BaseException):
            _write(answer, in_this_process(folder, tests, first))
        os._exit(0)
    end, over = time.monotonic() + LIMIT, False
    try:
        while not over and time.monotonic() < end:
            time.sleep(0.02)
            over = os.waitpid(child, os.WNOHANG) != (0, 0)
    finally:  # also at Ctrl-C
        if not over:
            os.killpg(child, signal.SIGKILL)
            os.waitpid(child, 0)


def _started(folder: Path, tests, first: bool, answer: Path) -> None:
    """The same in a new process, where there is no forking."""
    job = [str(folder), list(tests), first, str(answer)]
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT / 'tools')!r})\n"
        f"import planting\nplanting.from_outside({json.dumps(json.dumps(job))})"
    )
    with contextlib.suppress(subprocess.TimeoutExpired):
        subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=LIMIT)


def from_outside(job: str) -> None:
    """What a new process does: run the tests of a job in JSON and write the answer to its file."""
    folder, tests, first, answer = json.loads(job)
    _write(Path(answer), in_this_process(Path(folder), tests, first))


def run_tests(folder: Path, tests, first: bool = True) -> Run:
    """Run ``tests`` (files or single ones) in the copy, to the first red one or all of them."""
    with tempfile.TemporaryDirectory() as scratch:
        answer = Path(scratch) / "answer.json"
        (_forked if FORKS else _started)(folder, tests, first, answer)
        if not answer.exists():
            return Run(-1, "ended without an answer, or not within the time limit")
        return Run(**json.loads(answer.read_text(encoding="utf-8")))


# --- copies ---------------------------------------------------------------------------------------


def copy_tree(folder: Path) -> None:
    """Copy what the tests need. Compiled files are checked by content, not by time.

    A fault and its repair can come within the second in which two times of a file look the same.
    """
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=IGNORED)
        elif source.exists():
            shutil.copy2(source, folder / name)
    by_content = py_compile.PycInvalidationMode.CHECKED_HASH
    for name in ("minildm", "chapters", "tools", "benchmarks"):
        for path in (folder / name).rglob("*.py"):
            py_compile.compile(path, invalidation_mode=by_content)


@contextlib.contextmanager
def planted(folder: Path, mutant):
    """The fault in the copy while the context lasts; yields how often its line was there."""
    path = folder / mutant.file
    source = path.read_bytes()
    text = source.decode("utf-8").replace("\r\n", "\n")
    try:
        if text.count(mutant.old) == 1:
            path.write_text(text.replace(mutant.old, mutant.new), encoding="utf-8", newline="\n")
        yield text.count(mutant.old)
    finally:
        path.write_bytes(source)


def warm_up() -> None:
    """Import what nearly every test needs; what is not installed is left to the tests."""
    if not FORKS:
        return
    for name in WARM:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    for plugin in importlib.metadata.entry_points(group="pytest11"):
        with contextlib.suppress(ImportError):
            plugin.load()
