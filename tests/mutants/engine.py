"""Faults in the training engine: what is averaged, what is shared out, what is kept on disk."""

from mutants import Mutant

AUTOENCODER = "tests/test_autoencoder.py"
CHECKPOINT = "tests/test_checkpoint.py"
GPU = "tests/test_gpu.py"
RESUME = "tests/test_resume.py"
SETTINGS = "tests/test_settings.py"
TRAIN = "tests/test_train.py"
TWO = "tests/test_two_processes.py"

MUTANTS = [
    # --- 24: raw weights, or the swap not undone ---------------------------------------------------
    Mutant(
        24, 'raw weights returned', 'train.py',
        'return Trained(ema.net, collect(',
        'return Trained(net.eval(), collect(', (TRAIN, AUTOENCODER,),
    ),
    Mutant(
        24, 'raw weights shown while training', 'fit.py',
        'net = self.net if self.ema is None else self.ema.net',
        'net = self.net', (TRAIN, RESUME,),
    ),
    Mutant(
        24, 'evaluation mode not undone after looking', 'fit.py',
        '        self.net.train()\n        self.accelerator.wait',
        '        self.accelerator.wait', (TRAIN, RESUME,),
    ),
    # --- 26: 0-based t ----------------------------------------------------------------------------
    Mutant(
        26, '0-based t given to the network in training only', 'train.py',
        'model(z_t, t, c, batch.uniform(DROP) < config.drop)',
        'model(z_t, t - 1, c, batch.uniform(DROP) < config.drop)', (TRAIN,),
    ),
    Mutant(
        26, 't drawn from 0..T-1 in training only', 'train.py',
        't = random_times(schedule, batch.uniform(TIME))',
        't = random_times(schedule, batch.uniform(TIME)) - 1', (TRAIN,),
    ),
    # --- 28: resume that forgets ------------------------------------------------------------------
    Mutant(
        28, 'resume without the random numbers', 'fit.py',
        '        self.randomness.continue_from(info["randomness"][self.rank])\n',
        '', (RESUME,),
    ),
    Mutant(
        28, 'all processes go on with the random numbers of the first', 'fit.py',
        'info["randomness"][self.rank]',
        'info["randomness"][0]', (TWO,),
    ),
    Mutant(
        28, 'resume without torch random numbers', 'randomness.py',
        '            "torch": _from_text(state["torch"]),',
        '            "torch": self._own["torch"],', (RESUME,),
    ),
    Mutant(
        28, 'resume without Python random numbers', 'randomness.py',
        '            "python": (version, tuple(numbers), spare),',
        '            "python": self._own["python"],', (RESUME,),
    ),
    Mutant(
        28, 'resume without NumPy random numbers', 'randomness.py',
        '            "numpy": tuple(state["numpy"]),',
        '            "numpy": self._own["numpy"],', (RESUME,),
    ),
    Mutant(
        28, 'resume without the data position', 'fit.py',
        'indices = batch_indices(self.n, self.config.batch, self.step, self.config.seed)',
        'self.drawn = getattr(self, "drawn", -1) + 1; indices = batch_indices(self.n, self.config.batch, self.drawn, self.config.seed)', (RESUME,),
    ),
    Mutant(
        28, 'resume without the optimiser', 'fit.py',
        '        restore_optimizer(self.optimizer, _under("optimizer.", tensors))\n',
        '', (RESUME,),
    ),
    Mutant(
        28, 'resume without the count of the optimiser', 'optimizers.py',
        'state.setdefault(int(index), {})[kind] = value',
        'state.setdefault(int(index), {})[kind] = torch.ones_like(value) if kind == "step" else value', (RESUME,),
    ),
    Mutant(
        28, 'resume without the average', 'fit.py',
        'load_weights(self.ema.net, _under("ema.", tensors), place)',
        'load_weights(self.ema.net, _under("net.", tensors), place)', (RESUME,),
    ),
    Mutant(
        28, 'resume without the count of the average', 'fit.py',
        '            self.ema.updates = info["ema_updates"]\n',
        '', (RESUME,),
    ),
    Mutant(
        28, 'resume with the step before', 'fit.py',
        'self.step, self.seconds, self.logged = info["step"],',
        'self.step, self.seconds, self.logged = info["step"] - 1,', (RESUME,),
    ),
    Mutant(
        28, 'resume without the open record', 'fit.py',
        '                getattr(self.log, name).append(values)',
        '                pass', (RESUME,),
    ),
    Mutant(
        28, 'resume with lines twice in the metrics', 'state.py',
        'history = read_history(metrics, step) if',
        'history = read_history(metrics) if', (RESUME,),
    ),
    Mutant(
        28, 'the random numbers of the caller are those of the training', 'randomness.py',
        '        self._caller = self._now()\n        self._set(self._own)',
        '        self._caller = self._now()', (RESUME, TRAIN),
    ),
    Mutant(
        28, 'the training changes the random numbers of its caller', 'randomness.py',
        '        self._own = self._now()\n        self._set(self._caller)',
        '        self._own = self._now()', (RESUME, TRAIN),
    ),
    # --- writing ----------------------------------------------------------------------------------
    Mutant(
        0, 'a checkpoint is written under its own name', 'state.py',
        'part = place.with_name(place.name + ".part")', 'part = place', (RESUME,),
    ),
    Mutant(
        0, 'a file is written in its place', 'checkpoint.py',
        'with open(folder / _beside(name), "xb") as file:',
        'with open(folder / name, "wb") as file:', (CHECKPOINT,),
    ),
    Mutant(
        0, 'the checkpoint before is removed first', 'state.py',
        '            save_checkpoint(part, tensors, {**info,',
        '            [remove(old) for old in checkpoints(self.folder)]\n            save_checkpoint(part, tensors, {**info,', (RESUME,),
    ),
    Mutant(
        0, 'one checkpoint is kept only', 'state.py',
        'KEPT = 2', 'KEPT = 1', (RESUME,),
    ),
    Mutant(
        0, 'checkpoints are never removed', 'state.py',
        'KEPT = 2', 'KEPT = 10**6', (RESUME,),
    ),
    Mutant(
        0, 'an old checkpoint is removed under its name', 'state.py',
        'remove(old.rename(part))', 'remove(old)', (RESUME,),
    ),
    # --- reading ----------------------------------------------------------------------------------
    Mutant(
        0, 'weights are not checked', 'checkpoint.py',
        'if hashlib.sha256(data).hexdigest() != config.pop("sha256"):',
        'if not config.pop("sha256"):', (RESUME,),
    ),
    Mutant(
        0, 'a config is not checked', 'checkpoint.py',
        'if digest is not None and digest != _digest(config):',
        'if False:', (CHECKPOINT,),
    ),
    Mutant(
        0, 'NaN is read', 'checkpoint.py',
        '    check_finite(tensors, folder / WEIGHTS)\n', '', (CHECKPOINT,),
    ),
    Mutant(
        0, 'NaN is written', 'checkpoint.py',
        '    check_finite(tensors, folder)\n', '', (CHECKPOINT,),
    ),
    Mutant(
        0, 'a crash between two moves loses the model', 'checkpoint.py',
        'if config["sha256"] == digest:', 'if False:', (CHECKPOINT,),
    ),
    Mutant(
        0, 'the rest of a checkpoint is not checked', 'state.py',
        'if digest is not None and digest != _digest(info):',
        'if False:', (RESUME,),
    ),
    Mutant(
        0, 'any checkpoint is taken for a training', 'state.py',
        'if digest is None or form != FORMAT or info.get("step") != _step(place):',
        'if False:', (RESUME,),
    ),
    Mutant(
        0, 'damaged checkpoints are passed over in silence', 'state.py',
        'if resume != LAST_GOOD:', 'if resume is None:', (RESUME,),
    ),
    Mutant(
        0, 'refused checkpoints are deleted', 'state.py',
        'place.rename(_unused(place.with_name(place.name + ".refused")))',
        'shutil.rmtree(place)', (RESUME,),
    ),
    Mutant(
        0, 'other settings are not noticed', 'state.py',
        'if other_data(then.get(name), now.get(name))', 'if False', (RESUME, TRAIN),
    ),
    Mutant(
        0, 'a training is overwritten', 'state.py',
        '        if not resume:\n            must_be_new(self.folder)\n', '', (RESUME,),
    ),
    Mutant(
        0, 'a cut line of the metrics stops the training', 'progress.py',
        'if not line.endswith("\\n"):', 'if False:', (RESUME,),
    ),
    Mutant(
        0, 'latents of other weights are used', 'train.py',
        'then["weights"] == made_from["weights"]', 'then', (TRAIN,),
    ),
    # --- accumulation, several processes ----------------------------------------------------------
    Mutant(
        0, 'accumulation without dividing', 'fit.py',
        'losses.sum() / (self.config.batch / self.world)', 'losses.mean()', (TRAIN,),
    ),
    Mutant(
        0, 'parts weigh the same whatever their size', 'fit.py',
        'losses.sum() / (self.config.batch / self.world)', 'losses.mean() / self.config.accumulate', (TRAIN,),
    ),
    Mutant(
        0, 'gradient of a share of the batch too small', 'fit.py',
        'losses.sum() / (self.config.batch / self.world)', 'losses.sum() / self.config.batch', (TWO,),
    ),
    Mutant(
        0, 'processes weigh the same whatever their share', 'fit.py',
        'losses.sum() / (self.config.batch / self.world)',
        'losses.sum() / len(batch_indices(self.n, self.config.batch, self.step, self.config.seed)[self.rank :: self.world])', (TWO,),
    ),
    Mutant(
        0, 'all processes learn from the same samples', 'fit.py',
        'mine = indices[self.rank :: self.world]', 'mine = indices[0 :: self.world]', (TWO,),
    ),
    Mutant(
        0, 'every process learns from the whole batch', 'fit.py',
        'mine = indices[self.rank :: self.world]', 'mine = indices', (TWO,),
    ),
    Mutant(
        0, 'only the first part is exchanged', 'fit.py',
        '            self._backward(last)\n        norm',
        '            with self.accelerator.no_sync(self.model):\n                self._backward(last)\n        norm', (TWO,),
    ),
    Mutant(
        0, 'the log is that of one process', 'fit.py',
        'return gather_object(mine) if self.world > 1 else mine',
        'return mine * self.world', (TWO,),
    ),
    Mutant(
        0, 'all processes write', 'fit.py',
        'accelerator.is_main_process)', 'True)', (TWO,),
    ),
    Mutant(
        0, 'all processes show their bar', 'progress.py',
        'hidden = not (show and is_main_process())', 'hidden = not show', (TWO,),
    ),
    Mutant(
        0, 'all processes have the same dropout', 'fit.py',
        'Randomness(accelerator.device, config.seed, self.rank)',
        'Randomness(accelerator.device, config.seed, 0)', (TWO,),
    ),
    Mutant(
        0, 'two processes that do not see one another', 'accelerator.py',
        'cpu = device == "cpu" or not torch.accelerator.is_available()',
        'cpu = device == "cpu"', (TWO,),
    ),
    # --- settings, schedule, records --------------------------------------------------------------
    Mutant(
        0, 'constant schedule falls too', 'batches.py',
        'if self.schedule == "constant":', 'if False:', (TRAIN,),
    ),
    Mutant(
        0, 'precision of the first training stays', 'accelerator.py',
        '    AcceleratorState._reset_state(reset_partial_state=not same_device)\n',
        '', (TRAIN,),
    ),
    Mutant(
        0, 'Accelerate leaves its wrapper on the network', 'fit.py',
        '            unprepare(net)', '            pass', (GPU,),
    ),
    Mutant(
        0, 'the gradient norm is that after clipping', 'fit.py',
        'self.log.norms.append(norm.reshape(1))',
        'self.log.norms.append(norm.clamp(max=self.config.clip).reshape(1))', (TRAIN,),
    ),
    Mutant(
        0, 'the time of the caller counts', 'fit.py',
        'self.seconds += perf_counter() - start\n\n    def _backward',
        'self.seconds = perf_counter()\n\n    def _backward', (TRAIN,),
    ),
    Mutant(
        0, 'samples per second count steps', 'fit.py',
        '(self.step - step) * self.config.batch / max(', '(self.step - step) / max(', (TRAIN,),
    ),
    Mutant(
        0, 'learning rate of the step after', 'fit.py',
        'group["lr"] = self.config.lr_at(self.step)', 'group["lr"] = self.config.lr_at(self.step + 1)', (TRAIN, TWO),
    ),
    Mutant(
        0, 'the seed reaches the first training only', 'settings.py',
        'if k.split(".")[-1] == "seed"])', 'if k.split(".")[-1] == "seed"][:1])', (SETTINGS,),
    ),
    Mutant(
        0, 'text is not given the type of its setting', 'settings.py',
        'else kind(text)', 'else text', (SETTINGS,),
    ),
    Mutant(
        0, '--resume is not passed on', 'commands.py',
        'out, True, args.resume)', 'out, True, False)', (SETTINGS,),
    ),
    # --- devices ----------------------------------------------------------------------------------
    Mutant(
        0, 'the embedding of time is made on the CPU', 'layers.py',
        'torch.arange(half, device=t.device)', 'torch.arange(half)', (GPU,),
    ),
    Mutant(
        0, 'noise of the autoencoder is made on the CPU', 'process.py',
        'return self.mean + self.var.sqrt() * eps', 'return self.mean + self.var.sqrt() * eps.new_zeros(eps.shape, device="cpu")', (GPU,),
    ),
    Mutant(
        0, 'the null label is made on the CPU', 'unet.py',
        'torch.zeros(B, dtype=torch.int64, device=z_t.device)', 'torch.zeros(B, dtype=torch.int64)', (GPU,),
    ),
    Mutant(
        0, "an output with NaN ends a training without its step", "fit.py",
        "except NotFinite as error:", "except ZeroDivisionError as error:", ("tests/test_train.py",),
    ),
]  # fmt: skip
