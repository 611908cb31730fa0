"""Faults in what fetches published models."""

from mutants import Mutant

MODELS = ("tests/library/test_download_model.py",)

MUTANTS = [
    Mutant(0, 'pickles are fetched', 'minildm/files/models.py',
        ' and n.endswith(KINDS)',
        '', MODELS),
    Mutant(0, 'both precisions are fetched', 'minildm/files/models.py',
        'if n not in weights or weights[n] == half',
        'if n not in weights or weights[n] or weights[n] == half', MODELS),
    Mutant(0, 'the rest is added to the rest', 'minildm/files/models.py',
        'resume_size=target.tell()',
        'resume_size=0', MODELS),
    Mutant(0, 'a file that broke off is begun anew', 'minildm/files/models.py',
        '"ab" if _size(part) <= size else "wb"',
        '"wb"', MODELS),
    Mutant(0, 'a damaged file is kept', 'minildm/files/models.py',
        'if arrived != sha256:',
        'if False:', MODELS),
    Mutant(0, 'two models in one folder', 'minildm/files/models.py',
        'strip()) != source:',
        'strip()) == "":', MODELS),
    Mutant(0, 'a full disk is noticed late', 'minildm/files/models.py',
        'disk_usage(disk).free) < needed:',
        'disk_usage(disk).free) < 0:', MODELS),
    Mutant(0, 'nobody is asked', 'minildm/__main__.py',
        'if not args.yes and not agreed():',
        'if False:', MODELS),
]  # fmt: skip
