"""Faults at the command line: what is written over, what is lost, what is said too late."""

from mutants import Mutant

COMMANDS = "tests/test_command_line.py"
EXERCISES = "tests/test_exercises.py"
RESULTS = "tests/test_results.py"
SETTINGS = "tests/test_settings.py"

MUTANTS = [
    Mutant(
        0, "a training writes over a model of the book", 'commands.py',
        'if not overwrite and any(p.samefile', 'if False and any(p.samefile', (COMMANDS,),
    ),
    Mutant(
        0, 'a training writes over a finished model', 'commands.py',
        ' and not begun and not overwrite:', ' and begun and not overwrite:', (COMMANDS,),
    ),
    Mutant(
        0, 'a training begins beside one that has stopped', 'commands.py',
        '    if begun and not resume:', '    if False:', (COMMANDS,),
    ),
    Mutant(
        0, 'figures go to the data of the book', '__main__.py',
        'RESULTS = commands.OUTPUTS / "results.json"', 'RESULTS = Path("data/results.json")',
        (COMMANDS,),
    ),
    Mutant(
        0, 'what does not fit is found after the first stage', 'registry.py',
        'if c != network.config.channels:', 'if False:', (COMMANDS,),
    ),
    Mutant(
        0, 'figures that cannot be written are lost', 'commands.py',
        '        print(json.dumps(figures))', '        pass', (COMMANDS,),
    ),
    Mutant(
        0, 'a damaged file of figures counts as empty', 'results.py',
        '        raise CheckpointError(f"{path} is damaged ({error}): {restore}") from error',
        '        return {}', (RESULTS,),
    ),
    Mutant(
        0, 'figures are not written in one step', 'results.py',
        'replace_files(path.parent, {path.name: _text(section, results)})',
        'path.write_bytes(_text(section, results))', (RESULTS,),
    ),
    Mutant(
        0, 'settings are changed one after another', 'settings.py',
        'return _changed(config, wanted, "")',
        '[config := _changed(config, {k: v}, "") for k, v in wanted.items()]\n    return config',
        (SETTINGS,),
    ),
    Mutant(
        0, "a check hands over numbers that torch's functions refuse", 'exercises/chapter_03.py',
        'beta, alpha_bar = torch.tensor([0.02, 0.3], dtype=torch.float64)', 'beta, alpha_bar = 0.02, 0.3',
        (EXERCISES,),
    ),
    Mutant(
        0, 'a forgotten return is not told', 'exercises/__init__.py',
        'complaint = _own_fault(exercise, answer) or complaint', 'pass', (EXERCISES,),
    ),
]
