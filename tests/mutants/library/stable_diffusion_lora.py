"""Faults of a LoRA in a model."""

from mutants import Mutant

LORA = "tests/library/test_sd_lora.py"
ADDED = "minildm/stable_diffusion/lora.py"

MUTANTS = [
    Mutant(0, "alpha is not divided by the rank", ADDED,
        'return layer, down, up, alpha / r', 'return layer, down, up, alpha', (LORA,)),
    Mutant(0, "a convolution of a LoRA forgets the stride", ADDED,
        'F.conv2d(x, down, None, layer.stride, layer.padding)', 'F.conv2d(x, down, None, 1, layer.padding)',
        (LORA,)),
    Mutant(0, "a merged LoRA is added once more at each call", ADDED,
        'if self.lora.merged or not self.lora.scale:', 'if not self.lora.scale:', (LORA,)),
    Mutant(0, "what does not fit of a LoRA is left out in silence", ADDED,
        'if wrong or not found:', 'if not found:', (LORA,)),
    Mutant(0, "a weight with two LoRAs is that of the last", ADDED,
        'torch.stack([b.weight() for b in branches]).sum(0)', 'branches[-1].weight()', (LORA,)),
    Mutant(0, "the second text encoder's LoRA goes to the first", ADDED,
        '("text_encoder_2.", "te2.")', '("text_encoder_2.",)', (LORA,)),
    Mutant(0, "alpha as diffusers writes it is not read", ADDED,
        'if f"{prefix}lora_alpha" in settings:', 'if False:', (LORA,)),
]  # fmt: skip
