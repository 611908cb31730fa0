"""Faults in the transformer and in the distillation of chapter 8."""

from mutants import Mutant

DIT, FEW = "tests/book/test_dit.py", "tests/book/test_distillation.py"

MUTANTS = [
    Mutant(
        0, 'gates open from the start', 'chapters/book/ch08_outlook/dit.py',
        'self.modulate = zero_(nn.Linear(width, 6 * width))',
        'self.modulate = nn.Linear(width, 6 * width)', (DIT,),
    ),
    Mutant(
        0, 'scale and gate of the first branch are swapped', 'chapters/book/ch08_outlook/dit.py',
        'shift1, scale1, gate1, shift2, scale2, gate2 = six',
        'shift1, gate1, scale1, shift2, scale2, gate2 = six', (DIT,),
    ),
    Mutant(
        0, 'scale without the one', 'chapters/book/ch08_outlook/dit.py',
        'return (1 + scale) * F.layer_norm',
        'return scale * F.layer_norm', (DIT,),
    ),
    Mutant(
        0, 'squares are put back transposed', 'chapters/book/ch08_outlook/dit.py',
        'z = z.permute(0, 3, 1, 4, 2, 5)  # (B, c, rows, p, columns, p)',
        'z = z.permute(0, 3, 1, 5, 2, 4)  # (B, c, rows, p, columns, p)', (DIT,),
    ),
    Mutant(
        0, 'tokens are read column by column', 'chapters/book/ch08_outlook/dit.py',
        'y, x = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")',
        'y, x = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="xy")', (DIT,),
    ),
    Mutant(
        0, 'no positions', 'chapters/book/ch08_outlook/dit.py',
        'x = self.enter(tokens) + places',
        'x = self.enter(tokens) + 0 * places', (DIT,),
    ),
    Mutant(
        0, 'the label is not heard', 'chapters/book/ch08_outlook/dit.py',
        'return F.silu(embedding + self.embed_label(condition))',
        'return F.silu(embedding + 0 * self.embed_label(condition))', (DIT,),
    ),
    Mutant(
        0, 'the transformer is smaller than the UNet', 'chapters/book/ablations/dit_lab.py',
        'width=72, depth=6',
        'width=64, depth=6', (DIT,),
    ),
    Mutant(
        0, 'the target is the end of the step', 'chapters/book/ch08_outlook/distillation.py',
        'z0 = one_step_target(schedule, z_t, z_s, t, s)\n',
        'z0 = z_s\n', (FEW,),
    ),
    Mutant(
        0, 'k is of the signals', 'chapters/book/ch08_outlook/distillation.py',
        'k = noise_s / noise_t\n    return',
        'k = signal_s / signal_t\n    return', (FEW,),
    ),
    Mutant(
        0, 'the teacher takes one long step', 'chapters/book/ch08_outlook/distillation.py',
        'jump(teacher, schedule, jump(teacher, schedule, z_t, t, m), m, s)',
        'jump(teacher, schedule, z_t, t, s)', (FEW,),
    ),
    Mutant(
        0, 'the student trains its teacher', 'chapters/book/ch08_outlook/distillation.py',
        '    with torch.no_grad():\n        z_s =',
        '    with torch.enable_grad():\n        z_s =', (FEW,),
    ),
    Mutant(
        0, 'the student is trained on the grid of the teacher', 'chapters/book/ch08_outlook/distillation.py',
        'start = 2 * (batch.uniform(TIME) * steps).long()',
        'start = (batch.uniform(TIME) * (2 * steps - 1)).long()', (FEW,),
    ),
    Mutant(
        0, 'each student learns from the first teacher', 'chapters/book/ch08_outlook/distillation.py',
        '        teacher = _as_teacher(net, schedule, parameterization)\n',
        '', (FEW,),
    ),
    Mutant(
        0, 'the network that is given is trained itself', 'chapters/book/ch08_outlook/distillation.py',
        'net = copy.deepcopy(net).requires_grad_(True)',
        'net = net.requires_grad_(True)', (FEW,),
    ),
    Mutant(
        0, 'the teacher of the digits is not guided', 'chapters/book/ablations/few_steps_lab.py',
        'lambda condition: model.denoiser(condition, config.guidance)',
        'lambda condition: model.denoiser(condition, 1.0)', (FEW,),
    ),
    Mutant(
        0, 'variety about the mean of all digits', 'chapters/book/ablations/few_steps_lab.py',
        'z[labels == k].double().mean(0)',
        'z.double().mean(0)', (FEW,),
    ),
]  # fmt: skip
