"""Faults in the comparisons of chapters 5.1 to 5.5: plans, surgery, matching, guidance."""

from mutants import Mutant

ABLATIONS = "tests/book/test_ablations.py"
CONTRASTIVE = "tests/book/test_contrastive.py"
GUIDANCE = "tests/book/test_measure.py"
LOSSES = "tests/book/test_digits_lab.py"
WRITTEN = "tests/book/test_autoencoder_written.py"
FIGURES = "tests/book/test_figures.py"

MUTANTS = [
    Mutant(0, 'runs of another process are lost', 'chapters/book/ablations/engine.py',
        '        done = _fitting(name, plan, found)\n',
        '        done = _fitting(name, plan, None)\n', (ABLATIONS,)),
    Mutant(0, 'old results count for new settings', 'chapters/book/ablations/engine.py',
        'same = found.get("base") == base and old.get("changes") == list(changes)',
        'same = found.get("base") == base and bool(old)', (ABLATIONS,)),
    Mutant(0, 'old results count for other models', 'chapters/book/ablations/engine.py',
        'same = same and models == models_digest()', 'same = bool(same)', (ABLATIONS,)),
    Mutant(0, 'a finished run is run again', 'chapters/book/ablations/engine.py',
        'if any(run["seed"] == seed for run in done["variants"][variant]["runs"]):',
        'if False:', (ABLATIONS,)),
    Mutant(0, 'waiting counts as CPU time', 'chapters/book/ablations/engine.py',
        'from time import process_time',
        'from time import perf_counter as process_time', (ABLATIONS,)),
    Mutant(0, 'the skips are kept, what comes from below is lost', 'chapters/book/ablations/surgery.py',
        'return torch.cat([h, torch.zeros_like(skip)], dim=1), *others',
        'return torch.cat([torch.zeros_like(h), skip], dim=1), *others', (ABLATIONS,)),
    Mutant(0, 'a network without time hears it', 'chapters/book/ablations/surgery.py',
        'zero[:, :half] = 1\n    return (zero,)',
        'zero[:, :half] = 1\n    return (embedding,)', (ABLATIONS,)),
    Mutant(0, 'without self-attention the words go too', 'chapters/book/ablations/surgery.py',
        'part.attend = None',
        'part.attend = part.read = None', (ABLATIONS,)),
    Mutant(0, 'a frozen text encoder learns', 'chapters/book/ablations/shapes_lab.py',
        'net.text.requires_grad_(False)',
        'net.text.requires_grad_(True)', (ABLATIONS,)),
    Mutant(0, 'captions are matched in one direction', 'chapters/book/ch05_5_text_to_image/contrastive.py',
        'F.cross_entropy(similarity.T, right, reduction="none")',
        'F.cross_entropy(similarity, right, reduction="none")', (CONTRASTIVE,)),
    Mutant(0, 'an exchange leaves the second object alone', 'chapters/book/ch05_5_text_to_image/contrastive.py',
        'other[:, a], other[:, b] = rows[:, b], rows[:, a]',
        'other[:, a] = rows[:, b]', (CONTRASTIVE,)),
    Mutant(0, 'variety counts a picture against itself', 'chapters/book/ch05_5_text_to_image/measure_guidance.py',
        '(drawn * (drawn - 1))',
        '(drawn * drawn)', (GUIDANCE,)),
    Mutant(0, 'the absolute error is squared', 'chapters/book/ablations/digits_lab.py',
        'return (x_hat - x).abs().flatten(1).mean(1)',
        'return (x_hat - x).square().flatten(1).mean(1)', (LOSSES,)),
    Mutant(0, 'features are not measured in their own units', 'chapters/book/ablations/digits_lab.py',
        'difference = (seen_hat - seen) / std.to(seen)',
        'difference = seen_hat - seen', (LOSSES,)),
    Mutant(0, 'a schedule is moved by the scale, not its square', 'chapters/book/ablations/digits_lab.py',
        'power = s**2 * schedule.alpha_bar',
        'power = s * schedule.alpha_bar', (LOSSES,)),
    Mutant(0, 'the farthest digit names the label', 'chapters/book/ablations/digits_lab.py',
        'split.x.flatten(1)).argmin(1)]',
        'split.x.flatten(1)).argmax(1)]', (LOSSES,)),
    Mutant(0, 'a straight line without an offset', 'chapters/book/ch05_1_autoencoder/measure.py',
        'torch.ones(len(by), 1)], dim=1)',
        'torch.zeros(len(by), 1)], dim=1)', (WRITTEN,)),
    Mutant(0, 'row and column of the nudged place are exchanged', 'chapters/book/ch05_1_autoencoder/figures.py',
        'corner = (edges[place[1]], edges[place[0]])',
        'corner = (edges[place[0]], edges[place[1]])', (WRITTEN,)),
    Mutant(0, 'zoomed images are cropped with their labels', 'chapters/book/figures.py',
        'fig.add_artist(Rectangle((0, 0), 1, 1, color="white", zorder=-1))',
        'fig.add_artist(Rectangle((0, 0), 0, 0, color="white", zorder=-1))', (FIGURES,)),
]  # fmt: skip
