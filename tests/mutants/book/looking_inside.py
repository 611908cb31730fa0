"""Faults in what is recorded inside a network."""

from mutants import Mutant

INSIDE = ("tests/book/test_inside.py",)
WRITTEN = ("tests/book/test_unet_chapter.py",)
EXERCISES = ("tests/book/test_exercises.py",)

MUTANTS = [
    Mutant(0, 'attention maps are not divided by the root of d', 'chapters/book/ch05_2_unet/inside.py',
        'scores = q @ k.transpose(2, 3) / math.sqrt(q.shape[-1])',
        'scores = q @ k.transpose(2, 3)', INSIDE),
    Mutant(0, 'attention maps sum to one over the listeners', 'chapters/book/ch05_2_unet/inside.py',
        'return scores.softmax(dim=-1)',
        'return scores.softmax(dim=-2)', INSIDE),
    Mutant(0, 'attention maps read what the mask forbids', 'chapters/book/ch05_2_unet/inside.py',
        'scores = scores.masked_fill(~mask[:, None, None], -math.inf)',
        'pass', INSIDE),
    Mutant(0, 'attention maps of the values instead of the keys', 'chapters/book/ch05_2_unet/inside.py',
        'k, _ = layer.key_value(tokens if context is None else context).chunk(2, dim=-1)',
        '_, k = layer.key_value(tokens if context is None else context).chunk(2, dim=-1)', INSIDE),
    Mutant(0, 'operations of a part are counted from the start', 'chapters/book/ch05_2_unet/inside.py',
        'flops = counter.get_total_flops() - before.pop()',
        'flops = counter.get_total_flops()', INSIDE),
    Mutant(0, 'hooks stay where they were put', 'chapters/book/ch05_2_unet/inside.py',
        'at.callback(part.register_forward_pre_hook(keep).remove)',
        'part.register_forward_pre_hook(keep)', INSIDE),
    Mutant(0, 'influences of channels cancel', 'chapters/book/ch05_2_unet/inside.py',
        'heard += gradient[0].square().sum(0)',
        'heard += gradient[0].sum(0)', INSIDE),
    Mutant(0, 'settings are read from the first recipe alone', 'chapters/book/ch05_2_unet/settings.py',
        'for recipe in recipes.values()]',
        'for recipe in [next(iter(recipes.values()))] * len(recipes)]', WRITTEN),
    Mutant(0, "Stable Diffusion's time scales, too", 'chapters/book/ch05_2_unet/stable.py',
        'return norms + convolution(c_in, c_out) + linear(TIME, c_out) + convolution(c_out, c_out) + skip',
        'return norms + convolution(c_in, c_out) + linear(TIME, 2 * c_out) + convolution(c_out, c_out) + skip', WRITTEN),
    Mutant(0, 'the trace takes first what was kept first', 'chapters/book/ch05_2_unet/stable.py',
        'c_in, c = c + kept.pop(), CHANNELS * multiplier',
        'c_in, c = c + kept.pop(0), CHANNELS * multiplier', WRITTEN),
    Mutant(0, 'half a guess is taken for a guess', 'chapters/book/exercises.py',
        'if is_blank(guess):',
        'if guess is ...:', EXERCISES),
    Mutant(0, 'a class that says nothing yet is no blank', 'chapters/book/exercises.py',
        'answer = vars(answer).get("forward", answer)',
        'pass', EXERCISES),
]  # fmt: skip
