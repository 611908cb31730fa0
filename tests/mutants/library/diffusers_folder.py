"""Faults of what is written for diffusers."""

from mutants import Mutant

FOLDER = "tests/library/test_diffusers_folder.py"
WRITTEN, UNET = "minildm/files/diffusers_folder.py", "minildm/files/diffusers_unet.py"
CONFIGS = "minildm/files/diffusers_configs.py"

MUTANTS = [
    Mutant(0, "diffusers is told the book's times", UNET,
        't = torch.arange(1, schedule.T + 1)', 't = torch.arange(schedule.T)', (FOLDER,)),
    Mutant(0, "keys and values are exchanged on their way to diffusers", UNET,
        '("to_k", keys), ("to_v", values)', '("to_v", keys), ("to_k", values)', (FOLDER,)),
    Mutant(0, "the second block in the middle does something", UNET,
        '= torch.zeros_like(tensors[name])  # x + 0', '= tensors[name]', (FOLDER,)),
    Mutant(0, "diffusers begins below the last noise level", WRITTEN,
        '"timestep_spacing": "trailing"', '"timestep_spacing": "leading"', (FOLDER,)),
    Mutant(0, "diffusers clips the latents", WRITTEN,
        '"clip_sample": False', '"clip_sample": True', (FOLDER,)),
    Mutant(0, "diffusers ends at the first noise level", WRITTEN,
        '"set_alpha_to_one": True', '"set_alpha_to_one": False', (FOLDER,)),
    Mutant(0, "diffusers is told of no padding but the end", WRITTEN,
        '"pad_token": tokenizer.pad}', '"pad_token": END}', (FOLDER,)),
    Mutant(0, "SDXL's empty prompt is a text to diffusers", WRITTEN,
        'network.zero_null}', 'False}', (FOLDER,)),
    Mutant(0, "diffusers shifts a flow twice or not at all", WRITTEN,
        'shift = getattr(schedule, "shift", 1.0)', 'shift = 1.0', (FOLDER,)),
    Mutant(0, "the middle is told to be as deep as the first level", CONFIGS,
        '*(depth or 1 for depth in cfg.depths[:-1]), cfg.middle', '*(depth or 1 for depth in cfg.depths[:-1]), 1',
        (FOLDER,)),
    Mutant(0, "a LoRA beside the weights is lost on its way to diffusers", WRITTEN,
        'if pending(model):', 'if False:', (FOLDER,)),
]  # fmt: skip
