"""Faults at the command line: what is written over, what is lost, what is said too late."""

from mutants import Mutant

COMMANDS = "tests/library/test_command_line.py"
EXPERIMENTS = "tests/book/test_experiments.py"
EXERCISES = "tests/book/test_exercises.py"
RESULTS = "tests/book/test_results.py"
SETTINGS = "tests/library/test_settings.py"

MUTANTS = [
    Mutant(0, "a training writes over a model of the book", 'minildm/__main__.py',
        'if not overwrite and any(p.samefile', 'if False and any(p.samefile', (COMMANDS,)),
    Mutant(0, 'a training writes over a finished model', 'minildm/__main__.py',
        ' and not begun and not overwrite:', ' and begun and not overwrite:', (COMMANDS,)),
    Mutant(0, 'a training begins beside one that has stopped', 'minildm/__main__.py',
        '    if begun and not resume:', '    if False:', (COMMANDS,)),
    Mutant(0, 'figures go to the data of the book', 'tools/experiments.py',
        'RESULTS = commands.OUTPUTS / "results.json"', 'RESULTS = Path("data/results.json")',
        (EXPERIMENTS,)),
    Mutant(0, 'what does not fit is found after the first stage', 'minildm/recipes.py',
        'if c != network.config.channels:', 'if False:', (COMMANDS,)),
    Mutant(0, 'figures that cannot be written are lost', 'tools/experiments.py',
        '        print(json.dumps(figures))', '        pass', (EXPERIMENTS,)),
    Mutant(0, 'a damaged file of figures counts as empty', 'chapters/book/results.py',
        '        raise CheckpointError(f"{path} is damaged ({error}): {restore}") from error',
        '        return {}', (RESULTS,)),
    Mutant(0, 'figures are not written in one step', 'chapters/book/results.py',
        'replace_files(path.parent, {path.name: _text(section, results)})',
        'path.write_bytes(_text(section, results))', (RESULTS,)),
    Mutant(0, 'settings are changed one after another', 'minildm/engine/settings.py',
        'return _changed(config, wanted, "")',
        '[config := _changed(config, {k: v}, "") for k, v in wanted.items()]\n    return config',
        (SETTINGS,)),
    Mutant(0, "a check hands over numbers that torch's functions refuse", 'chapters/book/ch03_algorithm/exercises.py',
        'beta, alpha_bar = torch.tensor([0.02, 0.3], dtype=torch.float64)', 'beta, alpha_bar = 0.02, 0.3',
        (EXERCISES,)),
    Mutant(0, 'a forgotten return is not told', 'chapters/book/exercises.py',
        'return _own_fault(exercise, answer) or complaint', 'return complaint', (EXERCISES,)),
]
