"""Faults in the latent diffusion model: data, losses, networks, training, the model itself."""

from mutants import Mutant

AUTOENCODER = "tests/library/test_autoencoder.py"
DATA = "tests/library/test_data.py"
LATENT = "tests/library/test_latent.py"
LOSSES = "tests/library/test_losses.py"
METRICS = "tests/library/test_metrics.py"
TRAIN = "tests/library/test_train.py"
UNET = "tests/library/test_unet.py"
IMAGES = "tests/library/test_images.py"
DOORS = "tests/library/test_doors.py"
TOLD = "tests/library/test_told_once.py"
FILES = "tests/library/test_model_file.py"
CONFIGS = "tests/library/test_configs.py"
TEXT = "tests/library/test_text.py"

MUTANTS = [
    Mutant(
        0, 'what is transparent becomes black', 'minildm/files/images.py',
        'x = x[-1:] * x[:-1] + (1 - x[-1:])',
        'x = x[-1:] * x[:-1]', (IMAGES,),
    ),
    Mutant(
        0, 'photographs are not turned', 'minildm/files/images.py',
        'image = ImageOps.exif_transpose(image)',
        'image = image.copy()', (IMAGES,),
    ),
    Mutant(
        0, 'pictures come in unseen', 'minildm/latent.py',
        'x = inputs.images("x", x, self.autoencoder.config.image_channels)',
        'x = inputs.tensor("x", x)', (DOORS,),
    ),
    Mutant(
        0, 'the way between two seeds is uneven', 'minildm/latent.py',
        'angle = torch.linspace(0, torch.pi / 2, n, dtype=torch.float64)',
        'angle = torch.linspace(0, (torch.pi / 2) ** 0.5, n, dtype=torch.float64) ** 2', (DOORS,),
    ),
    Mutant(
        0, 'count beside conditions is ignored', 'minildm/checks/model.py',
        'if count is not None and given not in (None, count):',
        'if False:', (DOORS,),
    ),
    Mutant(
        0, 'places start at zero', 'minildm/text.py',
        'for table in (self.words.weight, self.positions):  # word and place weigh the same',
        'nn.init.zeros_(self.positions)\n        for table in (self.words.weight,):', (TEXT,),
    ),
    Mutant(
        0, 'a network of eps is read as one of v', 'minildm/checks/model.py',
        'if learned is not None and given.name != learned.parameterization:',
        'if False:', (TOLD,),
    ),
    Mutant(
        0, 'a folder hides a model of the book', 'minildm/files/places.py',
        'if is_bare(name) and name in MODELS:',
        'if False:', (FILES,),
    ),
    Mutant(
        0, 'weights overflow on disk', 'minildm/files/model.py',
        'if lost.any():',
        'if False:', (FILES,),
    ),
    Mutant(
        0, 'attention at a level that is not there', 'minildm/unet.py',
        'self.attention, 0, len(multipliers) - 1)',
        'self.attention, 0)', (CONFIGS,),
    ),
    Mutant(
        24, 'ema swap not undone', 'minildm/engine/optim.py',
        '            net.load_state_dict(own)\n',
        '            pass\n', (TRAIN,),
    ),
    Mutant(
        25, 'scale not undone', 'minildm/latent.py',
        'unscaled = z0 / self.autoencoder.scale',
        'unscaled = z0', (LATENT,),
    ),
    Mutant(
        25, 'scale twice', 'minildm/latent.py',
        'return torch.cat(parts) * self.autoencoder.scale',
        'return torch.cat(parts) * self.autoencoder.scale**2', (LATENT,),
    ),
    Mutant(
        30, 'the network hears t = 0 only', 'minildm/unet.py',
        'time_embedding(t.to(z_t.device)',
        'time_embedding(0 * t.to(z_t.device)', (UNET, TRAIN, LATENT,),
    ),
    Mutant(
        26, '0-based t training', 'minildm/losses.py',
        'output = net(z_t, t, condition)',
        'output = net(z_t, t - 1, condition)', (LOSSES, TRAIN,),
    ),
    Mutant(
        26, 'times 0..T-1', 'minildm/losses.py',
        '.clamp(max=schedule.T - 1) + 1',
        '.clamp(max=schedule.T - 1)', (LOSSES, TRAIN,),
    ),
    Mutant(
        27, 'null never trained', 'minildm/train.py',
        'batch.uniform(DROP) < config.drop',
        'batch.uniform(DROP) < 0', (TRAIN, AUTOENCODER,),
    ),
    Mutant(
        27, 'drop swapped', 'minildm/condition.py',
        'torch.where(drop, null(condition), condition)',
        'torch.where(drop, condition, null(condition))', (UNET, TRAIN, LATENT,),
    ),
    Mutant(
        30, 'time embedding ignores t', 'minildm/layers.py',
        'angle = t[:, None] * omega',
        'angle = 0 * t[:, None] * omega', (UNET,),
    ),
    Mutant(
        30, 'block ignores embedding', 'minildm/layers.py',
        'h = self.norm2(h) * (1 + scale) + shift',
        'h = self.norm2(h) + 0 * shift', (UNET,),
    ),
    Mutant(
        31, 'label ignored', 'minildm/unet.py',
        'embedding = embedding + self.embed_label(condition)',
        'embedding = embedding + 0 * self.embed_label(condition)', (UNET, TRAIN, LATENT,),
    ),
    Mutant(
        31, 'cross attention ignores text', 'minildm/unet.py',
        'return x if self.read is None else self.read(x, context, mask)',
        'return x if self.read is None else self.read(x, 0 * context, mask)', (UNET, TRAIN, LATENT,),
    ),
    Mutant(
        32, 'mask inverted', 'minildm/latent.py',
        'return draw * z + (1 - draw) * kept',
        'return (1 - draw) * z + draw * kept', (LATENT,),
    ),
    Mutant(
        32, 'mask inverted pixels', 'minildm/latent.py',
        'mask * self.decode(last.z) + (1 - mask) * x',
        '(1 - mask) * self.decode(last.z) + mask * x', (LATENT,),
    ),
    Mutant(
        0, 'mask kept not noised', 'minildm/latent.py',
        'kept = diffuse(schedule, z0, s,',
        'kept = z0 + 0 * diffuse(schedule, z0, s,', (LATENT,),
    ),
    Mutant(
        34, '[0,1] data', 'minildm/data.py',
        'return x.float() * (2 / largest) - 1',
        'return x.float() / largest', (DATA,),
    ),
    Mutant(
        0, 'kl sign', 'minildm/losses.py',
        '(mean.square() + var - 1 - var.log()) / 2',
        '(mean.square() + 1 / var - 1 + var.log()) / 2', (LOSSES, TRAIN,),
    ),
    Mutant(
        0, 'kl missing half', 'minildm/losses.py',
        '(mean.square() + var - 1 - var.log()) / 2',
        '(mean.square() + var - 1 - var.log())', (LOSSES, TRAIN,),
    ),
    Mutant(
        0, 'min-snr for z0 used for all', 'minildm/losses.py',
        'return torch.where(det == signal, one, signal / det), noise / det',
        'return signal / noise, one', (LOSSES, TRAIN,),
    ),
    Mutant(
        0, 'batch noise not keyed by step', 'minildm/noise.py',
        'return keyed_normal((self.seed, purpose, self.step), self.indices, shape)',
        'return keyed_normal((self.seed, purpose), self.indices, shape)', (TRAIN,),
    ),
    Mutant(
        0, 'same draws each step', 'minildm/latent.py',
        'next(calls), count',
        '0, count', (LATENT,),
    ),
    Mutant(
        0, 'global noise', 'minildm/latent.py',
        'noise = keyed_normal((seed, purpose, number), range(count), self.latent_shape)',
        'noise = torch.randn(count, *self.latent_shape, generator=torch.Generator().manual_seed(seed + 7 * purpose + number))', (LATENT,),
    ),
    Mutant(
        0, 'negative ignored', 'minildm/latent.py',
        'if negative is None:',
        'if True:', (LATENT,),
    ),
    Mutant(
        27, 'null cond as label 0', 'minildm/condition.py',
        'torch.full_like(condition, self.size if self.kind == "labels" else 0)',
        'torch.zeros_like(condition)', (UNET, TRAIN, LATENT,),
    ),
    Mutant(
        0, 'strength reversed', 'minildm/latent.py',
        'round(strength * steps)',
        'round((1 - strength) * steps)', (LATENT,),
    ),
    Mutant(
        0, 'betas float32 on disk', 'minildm/files/model.py',
        'tensors["betas"] = model.schedule.beta[1:]',
        'tensors["betas"] = model.schedule.beta[1:].float().double()', (LATENT,),
    ),
    Mutant(
        0, 'parameterization not stored', 'minildm/files/model.py',
        '"parameterization": model.parameterization.name',
        '"parameterization": "V"', (LATENT,),
    ),
    Mutant(
        0, 'sample var not std', 'minildm/autoencoder.py',
        'return self.decode(q.sample(eps)), q',
        'return self.decode(q.mean + q.var * eps), q', (AUTOENCODER,),
    ),
    Mutant(
        0, 'scale = std', 'minildm/autoencoder.py',
        'self.scale.fill_(1 / std)',
        'self.scale.fill_(std)', (AUTOENCODER,),
    ),
    Mutant(
        0, 'ema no warmup', 'minildm/engine/optim.py',
        'min(self.decay, (1 + self.updates) / (10 + self.updates))',
        'self.decay', (TRAIN,),
    ),
    Mutant(
        0, 'ema buffers', 'minildm/engine/optim.py',
        '            mine.copy_(theirs)',
        '            pass', (TRAIN,),
    ),
    Mutant(
        0, 'clip off', 'minildm/engine/fit.py',
        'accelerator.clip_grad_norm_(net.parameters(), config.clip)',
        'accelerator.clip_grad_norm_(net.parameters(), 1e9)', (TRAIN,),
    ),
    Mutant(
        0, 'level off by one', 'minildm/engine/records.py',
        '.ceil().long() - 1)',
        '.floor().long())', (TRAIN,),
    ),
    Mutant(
        0, 'epoch not shuffled', 'minildm/noise.py',
        'generator=seeded(seed, ORDER, epoch)',
        'generator=seeded(seed, ORDER)', (TRAIN,),
    ),
    Mutant(
        0, 'skip dropped order', 'minildm/unet.py',
        'skip = kept.pop()',
        'skip = 0 * kept.pop()', (UNET, TRAIN, LATENT,),
    ),
    Mutant(
        0, 'attention scale', 'minildm/layers.py',
        'F.scaled_dot_product_attention(q, self._split(k), self._split(v), allowed)',
        'F.scaled_dot_product_attention(q, self._split(k), self._split(v), allowed, scale=1.0)', (UNET,),
    ),
    Mutant(
        0, 'heads mixed', 'minildm/layers.py',
        'h = h.transpose(1, 2).reshape(B, H * W, C)',
        'h = h.reshape(B, H * W, C)', (UNET,),
    ),
    Mutant(
        0, 'labels shuffled apart', 'minildm/data.py',
        'return LabelledSplit(x[train], labels[train]',
        'return LabelledSplit(x[train], labels[train].flip(0)', (DATA,),
    ),
    Mutant(
        0, 'frechet no root', 'minildm/metrics.py',
        'torch.linalg.eigvalsh(root_a @ cov_b @ root_a).clamp(min=0).sqrt().sum()',
        'torch.linalg.eigvalsh(root_a @ cov_b @ root_a).clamp(min=0).sum()', (METRICS,),
    ),
    Mutant(
        0, 'float t unscaled', 'minildm/layers.py',
        't = t.float() * time_scale if t.is_floating_point() else t.float()',
        't = t.float()', (UNET,),
    ),
    Mutant(
        0, 'one time for a whole batch', 'minildm/losses.py',
        'torch.rand(len(z0), dtype=torch.float64)', 'torch.rand(1, dtype=torch.float64).expand(len(z0))',
        ('tests/library/test_losses.py',),
    ),
]  # fmt: skip
