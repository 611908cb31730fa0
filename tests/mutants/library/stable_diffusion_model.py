"""Faults on the way from Stable Diffusion's files to a model: time, texts, names, what is shown."""

from mutants import Mutant

MODEL, LOAD, NAMES = (
    f"minildm/stable_diffusion/{name}.py" for name in ("model", "load", "names")
)
PIPELINES, LOADING = "tests/library/test_sd_pipelines.py", "tests/library/test_sd_load.py"

MUTANTS = [
    Mutant(0, "the network is given the book's t", MODEL,
        "return self.net(z_t, t - 1, context)", "return self.net(z_t, t, context)", (PIPELINES,)),
    Mutant(0, "Stable Diffusion 3 is given the time of the flow", MODEL,
        "1000 * t, context", "t, context", (PIPELINES,)),
    Mutant(0, "SDXL is told the size of the latents", MODEL,
        "(self.factor * side for side", "(side for side", (PIPELINES,)),
    Mutant(0, "SDXL's no text is the empty text", MODEL,
        "        if self.zero_null:", "        if False:", (PIPELINES,)),
    Mutant(0, "the pooled text of the first encoder", MODEL,
        "pooled = read[-1].pooled", "pooled = read[0].pooled", (PIPELINES,)),
    Mutant(0, "the second encoder's vectors come first", MODEL,
        "torch.cat([each.penultimate for each in read], dim=2)",
        "torch.cat([each.penultimate for each in reversed(read)], dim=2)", (PIPELINES,)),
    Mutant(0, "the third encoder's place is left out", MODEL,
        "(0, missing, 0, T5_LENGTH)", "(0, missing, 0, 0)", (PIPELINES,)),
    Mutant(0, "an inpainting network sees what it should draw", MODEL,
        "self.encode(x * (1 - mask))", "self.encode(x)", (PIPELINES,)),
    Mutant(0, "an inpainting network sees the mask last", MODEL,
        "torch.cat([draw, self.encode(x * (1 - mask))], dim=1)",
        "torch.cat([self.encode(x * (1 - mask)), draw], dim=1)", (PIPELINES,)),
    Mutant(0, "an inpainting network is shown both branches whatever was asked", MODEL,
        "seeing.batched = self.network.batched", "pass", (PIPELINES,)),
    Mutant(0, "each copy of a text is encoded", MODEL,
        "unique(dim=0, return_inverse=True)", "unique_consecutive(dim=0, return_inverse=True)",
        (PIPELINES,)),
    Mutant(0, "the grid of a flow is shifted the other way", MODEL,
        "self.shift * t / (1 + (self.shift - 1) * t)", "t / (self.shift - (self.shift - 1) * t)",
        (PIPELINES,)),
    Mutant(0, "both branches in one call although that was switched off", "minildm/denoise.py",
        'getattr(nets[0].net, "batched", True)', "True", (PIPELINES,)),
    Mutant(0, "v is read as noise", LOAD, '"v_prediction": V', '"v_prediction": EPS', (PIPELINES,)),
    Mutant(0, "terminal SNR is not brought to zero", LOAD,
        'if said.get("rescale_betas_zero_snr"):', "if False:", (LOADING,)),
    Mutant(0, "unknown tensors are passed over", LOAD,
        '"unknown": unknown, ', "", (LOADING,)),
    Mutant(0, "a misshapen tensor is taken", LOAD,
        "if fits.shape != own.shape:", "if False:", (LOADING,)),
    Mutant(0, "all weights are read at once", LOAD,
        "        for each in found:\n            upcast",
        "        kept = [each.file.get_tensor(each.spelling).to(dtype) for each in found]\n"
        "        for each in found:\n            upcast", (LOADING,)),
    Mutant(0, "SDXL's autoencoder in float16", LOAD,
        "upcast = dtype == torch.float16 and", "upcast = False and", (LOADING,)),
    Mutant(0, "the decoder's levels are counted from the latent", NAMES,
        'f"up.{top - int(m[1])}"', 'f"up.{int(m[1])}"', (LOADING,)),
    Mutant(0, "keys are read as queries", NAMES,
        'tensor.chunk(3)[which]', 'tensor.chunk(3)[0]', (LOADING,)),
    Mutant(0, "OpenCLIP's projection is not turned", NAMES,
        "        return tensor.T\n", "        return tensor\n", (LOADING,)),
    Mutant(0, "the step of resolution is counted as a block", NAMES,
        '(blocks if "samplers" in kind else int(j))', 'int(j)', (LOADING,)),
]
