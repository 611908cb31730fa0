"""Can this machine carry the book? What is there, and what to do about what is not.

    python tools/check_machine.py              the report; ends with 1 where there is a problem
    python tools/check_machine.py --problems   only what has to be mended; nothing is drawn
    python tools/check_machine.py --python     can this Python make the book's environment?

It must start where nothing else does: only the standard library is imported at the top, and
Python 3.6 can read it. Each check returns a state (ok, advice, problem) and a sentence.
"""

import hashlib
import json
import os
import re
import shutil
import sys
import textwrap
import time
from pathlib import Path

if sys.version_info[:2] < (3, 11):
    sys.exit(
        f"The book needs Python 3.11 or newer, and this is Python {sys.version_info[0]}."
        f"{sys.version_info[1]} ({sys.executable}).\n"
        "Install a newer one, then say which: make lab PYTHON=python3.12"
    )

OK, ADVICE, PROBLEM = "ok", "advice", "problem"
BOOK = Path(__file__).resolve().parents[1]
CHECKPOINTS = BOOK / "data" / "checkpoints"
INSTALL = 'python -m pip install -c constraints.txt -e ".[book]"'
COMPARE = INSTALL.replace("book", "book,compare")
MODELS = ("digit_classifier", "digits", "emoji", "pixels", "shape_reader", "shapes")
SUMS = "SHA256SUMS"  # of every file of the book's models, as `sha256sum` writes them
OTHER = "not the book's own"
PLENTY, TIGHT, DISK = 2.0, 1.0, 0.5  # GB: memory for all chapters, for the smaller ones; to train


def packages():
    """What pyproject.toml asks for: there, new enough, as it was tested, and PyTorch starts."""
    needed, compared = requirements()
    here = {name: installed(name) for name in {**needed, **compared}}
    missing = [name for name in needed if not here[name]]
    old = [
        f"{name} {here[name]} (needs {least})"
        for name, least in needed.items()
        if here[name] and release(here[name]) < release(least)
    ]
    if missing or old:
        what = "; ".join([f"missing: {', '.join(missing)}"] * bool(missing) + old)
        return PROBLEM, f"{what}. {how_to_install()}"
    try:
        import torch  # noqa: F401
    except (ImportError, OSError) as error:  # OSError: a DLL
        return PROBLEM, (
            f"PyTorch is there, but it does not start: {error}. On Windows it needs the "
            "Microsoft Visual C++ Redistributable"
        )
    tested = versions((BOOK / "constraints.txt").read_text(encoding="utf-8").splitlines())
    other = [
        f"{name} {version} (tested: {tested[name]})"
        for name, version in here.items()
        if version and name in tested and release(version) != release(tested[name])
    ]
    if other:
        return ADVICE, (
            f"other versions than the tested ones: {', '.join(other)}. That usually works; if a "
            f"cell fails, get the tested ones: {INSTALL}"
        )
    if not all(here.values()):
        return ADVICE, f"diffusers is not there: chapter 7 skips some cells. To run them: {COMPARE}"
    return OK, f"all {len(here)} are there, in the tested versions"


def requirements():
    """({package: its least version}, the same of what chapter 7 compares with)."""
    import tomllib

    project = tomllib.loads((BOOK / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    needed = versions(project["dependencies"] + extras.get("book", []))
    # the other half of ipywidgets: without it sliders stay empty
    return {"minildm": "0", **needed, "jupyterlab_widgets": "3"}, versions(extras["compare"])


def versions(lines):
    """{"torch": "2.6"} of the lines "torch>=2.6" and "# a comment"."""
    found = (re.match(r"([\w.-]+)\s*[>=]=\s*([\w.]+)", line) for line in lines)
    return {match[1].lower(): match[2] for match in found if match}


def installed(name):
    """The version of a package, or None."""
    from importlib import metadata

    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def release(version):
    """(2, 13) of "2.13.0", "2.13.0+cpu" and "2.13rc1": what follows the numbers does not count."""
    match = re.match(r"\d+(\.\d+)*", version)
    numbers = [int(part) for part in match[0].split(".")] if match else []
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)


def how_to_install():
    """The command; or, where the book has an environment of its own beside, which Python to use."""
    venv = BOOK / ".venv"
    python = venv / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if python.is_file() and os.path.realpath(sys.prefix) != os.path.realpath(venv):
        return f"The book has a Python of its own: use {os.path.relpath(python)} for python"
    return f"In the folder of the book, with the Python that runs this check: {INSTALL}"


def device():
    """Where trainings run."""
    import torch

    if torch.cuda.is_available():
        return OK, (
            f"CUDA: {torch.cuda.get_device_name()}. Trainings take it by themselves; to draw on "
            "it, model.to('cuda'). How much faster the chapters get is not measured"
        )
    if torch.backends.mps.is_available():
        return ADVICE, (
            "MPS, an Apple GPU: trainings take it by themselves. Nobody has measured the book "
            "there; if a training fails or gives NaN, use device='cpu' in a FitConfig, or in a "
            "terminal --set autoencoder.fit.device=cpu denoiser.fit.device=cpu"
        )
    if shutil.which("nvidia-smi"):
        return ADVICE, (
            "CPU, which is enough. There is an NVIDIA driver, but this PyTorch cannot use it: "
            "for a GPU, install the CUDA build of PyTorch (pytorch.org, Get started)"
        )
    return OK, "CPU: the book is made for it, and nothing in it needs a GPU"


def processor():
    """Threads against cores, and against what else was busy in the last minute."""
    import torch

    threads = torch.get_num_threads()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0
    told = f"cores: {cores}, threads of PyTorch: {threads}"
    again = "start again with the environment variable OMP_NUM_THREADS="
    if cores < 2:
        return ADVICE, f"{told}: times in the book are for 2 threads; expect double"
    if threads > cores:
        return ADVICE, f"{told}: too many slow one another down; {again}{cores}"
    if threads > 1 and load > 0.9 * (cores - 1):
        return ADVICE, (
            f"{told}, and another program is busy (load {load:.1f}): threads then wait for one "
            f"another, and seconds become minutes; end it, or {again}1"
        )
    return OK, f"{told}; times in the book are for 2 threads"


def memory():
    """What can still be used: of the machine, or of the container if that allows less."""
    try:
        import psutil
    except ImportError:
        return ADVICE, f"unknown; chapters need up to {TIGHT:.0f} GB"
    free = min(psutil.virtual_memory().available, group_memory()) / 1e9
    told = f"{free:.1f} GB free"
    if free < TIGHT:
        return PROBLEM, f"{told}: too little for most chapters; close programs and old kernels"
    if free < PLENTY:
        return ADVICE, f"{told}: enough for one chapter at a time; close old kernels"
    return OK, told


def group_memory(folder=Path("/sys/fs/cgroup")):
    """Bytes that a container's limit leaves; infinite where there is no container or no limit."""
    try:
        limit, used, stat = (
            (folder / f"memory.{name}").read_text() for name in ("max", "current", "stat")
        )
        kept = re.search(r"^inactive_file (\d+)$", stat, re.MULTILINE)  # files that give way
        return int(limit) - int(used) + (int(kept[1]) if kept else 0)
    except (OSError, ValueError):  # no such file; or the limit is called "max": there is none
        return float("inf")


def disk():
    """Room for the models that a reader trains."""
    free = shutil.disk_usage(BOOK).free / 1e9
    if free < DISK:
        return ADVICE, f"{free:.1f} GB free: make room before you train models"
    return OK, f"{free:.0f} GB free"


def models():
    """The trained models: there, whole, and those that the chapters speak of."""
    faults = {name: model_fault(name) for name in MODELS}
    told = ", ".join(f"{name} is {fault}" for name, fault in faults.items() if fault)
    mend = "The book's own come back with: git restore data/checkpoints"
    if set(faults.values()) - {"", OTHER}:
        return PROBLEM, f"{told}. {mend}"
    if told:
        return ADVICE, f"{told}: what chapters say of it need not hold. {mend}"
    return OK, f"all {len(MODELS)} trained models are there, and the book's own"


def model_fault(name):
    """What is wrong with a model of the book: "", missing, damaged or OTHER."""
    folder = home(name)
    known = {folder / file: sum for file, sum in sums().items() if file.startswith(name + "/")}
    config, weights = (folder / name / file for file in ("config.json", "model.safetensors"))
    if not (config.is_file() and weights.is_file()):
        return "missing"
    if known and all(path.is_file() and digest(path) == sum for path, sum in known.items()):
        return ""
    try:  # whole in itself, by the sums that minildm/files/checkpoint.py writes?
        kept = json.loads(config.read_text(encoding="utf-8"))
        said = kept.pop("sha256"), kept.pop("sha256_config")
        text = json.dumps(kept, sort_keys=True).encode()
        whole = said == (digest(weights), hashlib.sha256(text).hexdigest())
    except (ValueError, KeyError, TypeError, AttributeError):
        whole = False
    return OTHER if whole else "damaged"


def sums():
    """File of the book's models, such as "digits/config.json" -> its SHA-256; {} without a list."""
    path = CHECKPOINTS / SUMS
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    return {name: sum for sum, name in map(str.split, lines)}


def digest(path):
    """SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def home(name):
    """Where ``name`` is found, as by minildm: in $MINILDM_DATA, if it is there, or in the clone."""
    given = Path(os.environ.get("MINILDM_DATA") or CHECKPOINTS)
    return given if (given / name).exists() else CHECKPOINTS


def figures():
    """data/results.json, from which chapters take their numbers."""
    path = home("../results.json").parent / "results.json"
    try:
        readable = isinstance(json.loads(path.read_text(encoding="utf-8")), dict)
    except (OSError, ValueError):
        readable = False
    if not readable:
        fault = "damaged" if path.is_file() else "missing"
        return PROBLEM, f"data/results.json is {fault}: git restore data/results.json"
    return OK, "data/results.json can be read"


def sampler(tolerance=0.02):
    """Data N(m, v) on axes: the exact walk ends at m + sqrt(v / (a^2 v + b^2)) (z_T - a m)."""
    import torch

    from minildm.denoise import gaussian_denoiser
    from minildm.samplers import heun, sample
    from minildm.schedule import DiscreteSchedule, cosine_betas

    schedule = DiscreteSchedule(cosine_betas())
    m, v = torch.tensor([1.0, 2.0]).double(), torch.tensor([1.0, 2.0]).double()
    z_T = torch.tensor([[-1.5, 1.0], [0.0, 0.0], [2.0, -1.0]]).double()
    a, b = schedule(schedule.T)
    known = m + (v / (a**2 * v + b**2)).sqrt() * (z_T - a * m)
    denoise = gaussian_denoiser(schedule, m, v.diag())
    *_, last = sample(denoise, schedule, z_T, schedule.times(50), heun)
    off = float((last.z - known).abs().max())
    state = OK if off < tolerance else PROBLEM
    return state, f"walks to a 2-D Gaussian end within {off:.4f} of the formula"


def drawing():
    """One picture of the shipped model, and what the judge reads in it."""
    from minildm.latent import LatentDiffusion
    from minildm.shapes.captions import agree, read, request_rows
    from minildm.shapes.judge import judge

    text = "a large solid red circle above a small striped blue star on white"
    verdict = judge(LatentDiffusion.load("shapes").text_to_image([text], seed=0))
    right = int(agree(verdict.rows, request_rows([read(text)])).sum())
    state = OK if right == 10 and bool(verdict.accepted) else PROBLEM
    return state, f"a picture from a text; the judge reads {right} of 10 attributes as asked"


def findings(*checks):
    """[(name, state, sentence)]: what each check says; an error is a problem, not a traceback."""
    found = []
    for check in checks:
        start = time.perf_counter()
        try:
            state, says = check()
        except Exception as error:
            state, says = PROBLEM, f"{type(error).__name__}: {error}"
        took = f" ({time.perf_counter() - start:.1f} s)" * (check in (sampler, drawing))
        found.append((check.__name__, state, says + took))
    return found


def everything(tries=(sampler, drawing)):
    """All findings, in the order in which a reader should mend them."""
    found = findings(packages, memory, disk, models, figures)
    if found[0][1] == PROBLEM:
        return [*found, ("trial", ADVICE, "left out until the packages are there")]
    return [*found, *findings(device, processor, *tries)]


def report(found, width=96):
    """One line or more per finding, and a sentence on all of them."""
    layout = {"width": width, "subsequent_indent": " " * 19, "break_on_hyphens": False}
    lines = [textwrap.fill(f"{state:8s}{name:11s}{says}", **layout) for name, state, says in found]
    states = {state for _, state, _ in found}
    end = "All chapters will run." + " Advice can wait." * (ADVICE in states)
    if PROBLEM in states:
        end = "Mend what is called a problem, then check again."
    return "\n".join([*lines, end])


def main(words):
    """Look, try, and tell; 1 if something is a problem, else 0."""
    if words == ["--python"]:
        try:
            import ensurepip  # noqa: F401
            import venv  # noqa: F401
        except ImportError:
            sys.exit(
                f"This Python ({sys.executable}) cannot make virtual environments.\n"
                "On Debian and Ubuntu: sudo apt install python3-venv"
            )
        return 0
    if words == ["--problems"]:
        found = [finding for finding in everything(tries=()) if finding[1] == PROBLEM]
    else:
        found = [("Python", OK, sys.version.split()[0]), *everything()]
    if found:
        print(report(found))
    return int(any(state == PROBLEM for _, state, _ in found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
