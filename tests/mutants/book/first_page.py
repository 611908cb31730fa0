"""Faults in the first page: the map, the notation, the check of the machine, the course."""

from mutants import Mutant

PAGE = "tests/book/test_first_page.py"
CHECK = "tests/repository/test_check_machine.py"

MUTANTS = [
    Mutant(
        0, 'only direct needs come before a chapter', 'chapters/book/ch00_start/book_map.py',
        '        waiting += fresh\n',
        '', (PAGE,),
    ),
    Mutant(
        0, 'an implied need gets an arrow', 'chapters/book/ch00_start/book_map.py',
        'return tuple(need for need in needs if all(need not in before([n]) for n in needs))',
        'return needs', (PAGE,),
    ),
    Mutant(
        0, 'the definition of SNR is its root', 'chapters/book/ch00_start/notation.py',
        'return alpha_bar(beta) / (1 - alpha_bar(beta))',
        'return (alpha_bar(beta) / (1 - alpha_bar(beta))).sqrt()', (PAGE,),
    ),
    Mutant(
        0, 'the definition of the posterior variance is beta', 'chapters/book/ch00_start/notation.py',
        'beta[1:] * left[:-1] / left[1:]',
        'beta[1:]', (PAGE,),
    ),
    Mutant(
        0, 'only the last time is compared', 'chapters/book/ch00_start/notation.py',
        'float(torch.where(ours == wanted, 0.0, off).max())',
        'float(torch.where(ours == wanted, 0.0, off)[-1])', (PAGE,),
    ),
    Mutant(
        0, 'versions are compared as texts', 'tools/check_machine.py',
        'if here[name] and release(here[name]) < release(least)',
        'if here[name] and here[name] < least', (CHECK,),
    ),
    Mutant(
        0, 'a DLL that is missing ends the check', 'tools/check_machine.py',
        '    except (ImportError, OSError) as error:',
        '    except ImportError as error:', (CHECK,),
    ),
    Mutant(
        0, 'a model of the reader counts as damaged', 'tools/check_machine.py',
        'set(faults.values()) - {"", OTHER}',
        'set(faults.values()) - {""}', (CHECK,),
    ),
    Mutant(
        0, 'a model trained over one of the book passes for it', 'tools/check_machine.py',
        'if known and all(path.is_file() and digest(path) == sum for path, sum in known.items()):',
        'if known:', (CHECK,),
    ),
    Mutant(
        0, 'a damaged checkpoint passes', 'tools/check_machine.py',
        'return OTHER if whole else "damaged"',
        'return ""', (CHECK,),
    ),
    Mutant(
        0, 'advice ends the command with 1', 'tools/check_machine.py',
        'any(state == PROBLEM for _, state, _ in found)',
        'any(state != OK for _, state, _ in found)', (CHECK,),
    ),
    Mutant(
        0, 'files at hand count as used memory', 'tools/check_machine.py',
        ' + (int(kept[1]) if kept else 0)',
        '', (CHECK,),
    ),
    Mutant(
        0, 'any end of the walk is good enough', 'tools/check_machine.py',
        'def sampler(tolerance=0.02):',
        'def sampler(tolerance=2.0):', (CHECK,),
    ),
    Mutant(
        0, 'a refused picture passes the self-test', 'tools/check_machine.py',
        'right == 10 and bool(verdict.accepted)',
        'right >= 0', (CHECK,),
    ),
    Mutant(
        0, 'seconds count as minutes', 'chapters/book/ch00_start/course.py',
        ' + seconds / 60\n',
        ' + seconds\n', (PAGE,),
    ),
    Mutant(
        0, 'exercise 0-1 believes a picture that the judge refused', 'chapters/book/ch00_start/exercises.py',
        'if bool(verdict.accepted) and bool(right.all()):',
        'if bool(right.all()):', (PAGE,),
    ),
]  # fmt: skip
