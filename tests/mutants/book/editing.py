"""Faults in editing: masks, tilings, ways between latents, inversion, and their judging."""

from mutants import Mutant

EDITING = "tests/book/test_editing.py"
EQUATIONS = "tests/equations/test_equations.py"

MUTANTS = [
    Mutant(
        0, 'editing: the mask is around the other object', 'chapters/book/ch06_applications/editing.py',
        'rows[n, 2 + 4 * which]] + margin',
        'rows[n, 6 - 4 * which]] + margin', (EDITING,),
    ),
    Mutant(
        0, 'editing: the other object is drawn anew as well', 'chapters/book/ch06_applications/editing.py',
        'whole_cells(object_mask(rows, places, which, margin)) * (1 - other)',
        'whole_cells(object_mask(rows, places, which, margin)) * (1 - 0 * other)', (EDITING,),
    ),
    Mutant(
        0, 'editing: a cell counts only if all of it is touched', 'chapters/book/ch06_applications/editing.py',
        'touched = F.max_pool2d(mask, factor)',
        'touched = F.avg_pool2d(mask, factor).floor()', (EDITING,),
    ),
    Mutant(
        0, 'editing: what is asked for may be a training scene', 'chapters/book/ch06_applications/editing.py',
        'known &= values != table[:, column, None]',
        'known = values != table[:, column, None]', (EDITING,),
    ),
    Mutant(
        0, 'editing: padding stays circular after an error', 'chapters/book/ch06_applications/editing.py',
        '    finally:\n',
        '    except ZeroDivisionError:\n        raise\n    else:\n', (EDITING,),
    ),
    Mutant(
        0, 'editing: padding becomes reflecting', 'chapters/book/ch06_applications/editing.py',
        'conv.padding_mode = "circular"',
        'conv.padding_mode = "reflect"', (EDITING,),
    ),
    Mutant(
        0, 'editing: jumps at the seam cancel', 'chapters/book/ch06_applications/editing.py',
        'down = (x[..., 0, :] - x[..., -1, :]).abs().flatten(1)',
        'down = (x[..., 0, :] - x[..., -1, :]).flatten(1)', (EDITING,),
    ),
    Mutant(
        0, 'editing: the arc is not divided by the sine of its angle', 'chapters/book/ch06_applications/editing.py',
        '((w * angle).sin() / angle.sin() for w in (1 - u, u))',
        '((w * angle).sin() for w in (1 - u, u))', (EDITING, EQUATIONS),
    ),
    Mutant(
        0, 'editing: the straight line turned round', 'chapters/book/ch06_applications/editing.py',
        'return (1 - u) * z_a + u * z_b',
        'return u * z_a + (1 - u) * z_b', (EDITING,),
    ),
    Mutant(
        0, 'editing: inversion goes up without the predicted noise', 'chapters/book/ch06_applications/editing.py',
        'z = expand(signal, z) * z0 + expand(noise, z) * eps',
        'z = expand(signal, z) * z0 + expand(noise, z) * z', (EDITING, EQUATIONS),
    ),
    Mutant(
        0, 'editing: a direction points back', 'chapters/book/ch06_applications/editing.py',
        'change = model.encode(after) - model.encode(edits.x)',
        'change = model.encode(edits.x) - model.encode(after)', (EDITING,),
    ),
    Mutant(
        0, 'editing: refused pictures count as right', 'chapters/book/ch06_applications/judged.py',
        'same.all(1) & verdict.accepted,',
        'same.all(1),', (EDITING,),
    ),
    Mutant(
        0, 'editing: the rest may change', 'chapters/book/ch06_applications/judged.py',
        '(same | changing).all(1),',
        '(same | changing).any(1),', (EDITING,),
    ),
    Mutant(
        0, 'editing: right without being accepted is restored', 'chapters/book/ch06_applications/judged.py',
        'wrong = (verdict.rows != pictures.rows)[verdict.accepted]',
        'wrong = (verdict.rows != pictures.rows)', (EDITING,),
    ),
]  # fmt: skip
