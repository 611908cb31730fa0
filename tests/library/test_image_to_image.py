"""Where an edit starts: the noise that a picture is given must be that of the sampler's first time.

Written for the bug museum, whose exhibit `noised-too-far` no test had noticed.
"""

import pytest
import torch

from minildm.latent import LatentDiffusion
from minildm.process import diffuse


@pytest.mark.parametrize(("strength", "steps"), [(0.05, 20), (0.3, 10), (0.5, 3), (1.0, 10)])
def test_an_edit_starts_with_the_noise_of_its_first_time(strength, steps) -> None:
    model = LatentDiffusion.load("digits")
    x, labels = torch.rand(3, 1, 28, 28) * 2 - 1, torch.arange(3)
    notes = []

    def step(z, t, s, *_):
        notes.append((z, int(t), int(s)))
        return z, z, None

    model.image_to_image(x, labels, strength, steps=steps, sampler=step, seed=5)
    (z, t, _), end = notes[0], notes[-1][2]
    torch.testing.assert_close(z, diffuse(model.schedule, model.encode(x), t, model.noise(3, 5)))
    assert end == 0 and len(notes) == max(1, round(strength * steps))
    assert t == model.schedule.times(steps)[steps - len(notes)]
