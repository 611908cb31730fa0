"""The exhibits of the bug museum, planted on disk: the repository's own tests must turn red.

And faults of the museum itself.
"""

from mutants import Mutant

from book.ch09_1_museum import EXHIBITS, HIDDEN

MUTANTS = [
    Mutant(0, f"museum: {e.name}", f"minildm/{e.file}", e.right, e.wrong, e.tests) for e in [*EXHIBITS, HIDDEN]
]

MUSEUM = ("tests/book/test_museum.py",)
MUTANTS += [
    Mutant(0, 'museum: the reader is left without his modules', 'chapters/book/ch09_1_museum/planted.py',
        '        sys.modules.update(outside)\n',
        '', MUSEUM),
    Mutant(0, 'museum: planted code is kept among the compiled files', 'chapters/book/ch09_1_museum/planted.py',
        '    def get_code(self, fullname: str):\n',
        '    def get_data(self, path):\n'
        '        return self._source.encode() if path == self.path else super().get_data(path)\n\n'
        '    def unused(self, fullname: str):\n', MUSEUM),
    Mutant(0, 'museum: the finder stays', 'chapters/book/ch09_1_museum/planted.py',
        '        sys.meta_path[:] = finders\n',
        '', MUSEUM),
    Mutant(0, 'museum: both sides of a symptom are the right one', 'chapters/book/ch09_1_museum/exhibit.py',
        'return right, quietly(exhibit.symptom, package)',
        'return right, right', MUSEUM),
    Mutant(0, 'museum: stretched latents keep their scale', 'chapters/book/ch09_1_museum/scene.py',
        '    model.autoencoder.scale /= STRETCH\n',
        '', MUSEUM),
]  # fmt: skip
