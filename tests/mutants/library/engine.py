"""Faults in the training engine: what is averaged, what is shared out, what is kept on disk."""

from mutants import Mutant

AUTOENCODER = "tests/library/test_autoencoder.py"
CHECKPOINT = "tests/library/test_checkpoint.py"
DATA = "tests/library/test_training_data.py"
GPU = "tests/library/test_gpu.py"
RESUME = "tests/library/test_resume.py"
SETTINGS = "tests/library/test_settings.py"
STOPPING = "tests/library/test_stopping.py"
TRAIN = "tests/library/test_train.py"
TWO = "tests/library/test_two_processes.py"

MUTANTS = [
    # --- 24: raw weights, or the swap not undone ---------------------------------------------------
    Mutant(
        24, 'raw weights returned', 'minildm/train.py',
        'return Trained(ema.net, collect(',
        'return Trained(net.eval(), collect(', (TRAIN, AUTOENCODER,),
    ),
    Mutant(
        24, 'raw weights shown while training', 'minildm/engine/fit.py',
        'net = self.net if self.ema is None else self.ema.net',
        'net = self.net', (TRAIN, RESUME,),
    ),
    Mutant(
        24, 'evaluation mode not undone after looking', 'minildm/engine/fit.py',
        '        self.net.train()\n        self.accelerator.wait',
        '        self.accelerator.wait', (TRAIN, RESUME,),
    ),
    # --- 26: 0-based t ----------------------------------------------------------------------------
    Mutant(
        26, '0-based t given to the network in training only', 'minildm/train.py',
        'model(z_t, t, c, batch.uniform(DROP) < config.drop)',
        'model(z_t, t - 1, c, batch.uniform(DROP) < config.drop)', (TRAIN,),
    ),
    Mutant(
        26, 't drawn from 0..T-1 in training only', 'minildm/train.py',
        't = losses.random_times(schedule, batch.uniform(TIME))',
        't = losses.random_times(schedule, batch.uniform(TIME)) - 1', (TRAIN,),
    ),
    # --- 28: resume that forgets ------------------------------------------------------------------
    Mutant(
        28, 'resume without the random numbers', 'minildm/engine/resume.py',
        '    training.randomness.continue_from(info["randomness"][training.rank])\n',
        '', (RESUME,),
    ),
    Mutant(
        28, 'all processes go on with the random numbers of the first', 'minildm/engine/resume.py',
        'info["randomness"][training.rank]',
        'info["randomness"][0]', (TWO,),
    ),
    Mutant(
        28, 'resume without torch random numbers', 'minildm/engine/devices.py',
        '"torch": _from_text(state["torch"]),',
        '"torch": torch.get_rng_state(),', (RESUME,),
    ),
    Mutant(
        28, 'resume without Python random numbers', 'minildm/engine/devices.py',
        '"python": (version, tuple(numbers), spare),',
        '"python": random.getstate(),', (RESUME,),
    ),
    Mutant(
        28, 'resume without NumPy random numbers', 'minildm/engine/devices.py',
        '"numpy": tuple(state["numpy"]),',
        '"numpy": np.random.get_state(),', (RESUME,),
    ),
    Mutant(
        28, 'resume without the data position', 'minildm/engine/fit.py',
        'batch_indices(n, config.batch, run.step, config.seed)',
        'batch_indices(n, config.batch, (drawn := locals().get("drawn", -1) + 1), config.seed)', (RESUME,),
    ),
    Mutant(
        28, 'resume without the optimiser', 'minildm/engine/resume.py',
        '    restore_optimizer(training.optimizer, _under("optimizer.", tensors))\n',
        '', (RESUME,),
    ),
    Mutant(
        28, 'resume without the count of the optimiser', 'minildm/engine/optim.py',
        'state.setdefault(int(index), {})[kind] = value',
        'state.setdefault(int(index), {})[kind] = torch.ones_like(value) if kind == "step" else value', (RESUME,),
    ),
    Mutant(
        28, 'resume without the average', 'minildm/engine/resume.py',
        'load_weights(training.ema.net, _under("ema.", tensors), place)',
        'load_weights(training.ema.net, _under("net.", tensors), place)', (RESUME,),
    ),
    Mutant(
        28, 'resume without the count of the average', 'minildm/engine/resume.py',
        '        training.ema.updates = info["ema_updates"]\n',
        '', (RESUME,),
    ),
    Mutant(
        28, 'resume with the step before', 'minildm/engine/resume.py',
        'training.step, training.seconds = info["step"],',
        'training.step, training.seconds = info["step"] - 1,', (RESUME,),
    ),
    Mutant(
        28, 'resume without the open record', 'minildm/engine/resume.py',
        '            getattr(training.log, name).append(values)',
        '            pass', (RESUME,),
    ),
    Mutant(
        28, 'resume with lines twice in the metrics', 'minildm/engine/resume.py',
        'history = read_history(metrics, step) if',
        'history = read_history(metrics) if', (RESUME,),
    ),
    Mutant(
        28, 'the random numbers of the caller are those of the training', 'minildm/engine/devices.py',
        '        self._caller = self._now()\n        self._set(self._own)',
        '        self._caller = self._now()', (RESUME, TRAIN),
    ),
    Mutant(
        28, 'the training changes the random numbers of its caller', 'minildm/engine/devices.py',
        '        self._own = self._now()\n        self._set(self._caller)',
        '        self._own = self._now()', (RESUME, TRAIN),
    ),
    # --- writing ----------------------------------------------------------------------------------
    Mutant(
        0, 'a checkpoint is written under its own name', 'minildm/engine/resume.py',
        'part = place.with_name(place.name + ".part")', 'part = place', (RESUME,),
    ),
    Mutant(
        0, 'a file is written in its place', 'minildm/files/checkpoint.py',
        'with open(folder / _beside(name), "xb") as file:',
        'with open(folder / name, "wb") as file:', (CHECKPOINT,),
    ),
    Mutant(
        0, 'the checkpoint before is removed first', 'minildm/engine/resume.py',
        '            save_checkpoint(part, tensors, {**about,',
        '            [remove(old) for old in checkpoints(self.folder)]\n            save_checkpoint(part, tensors, {**about,', (RESUME,),
    ),
    Mutant(
        0, 'one checkpoint is kept only', 'minildm/engine/resume.py',
        'KEPT = 2', 'KEPT = 1', (RESUME,),
    ),
    Mutant(
        0, 'checkpoints are never removed', 'minildm/engine/resume.py',
        'KEPT = 2', 'KEPT = 10**6', (RESUME,),
    ),
    Mutant(
        0, 'an old checkpoint is removed under its name', 'minildm/engine/resume.py',
        'remove(old.rename(part))', 'remove(old)', (RESUME,),
    ),
    # --- reading ----------------------------------------------------------------------------------
    Mutant(
        0, 'weights are not checked', 'minildm/files/checkpoint.py',
        'if hashlib.sha256(data).hexdigest() != config.pop("sha256"):',
        'if not config.pop("sha256"):', (RESUME,),
    ),
    Mutant(
        0, 'a config is not checked', 'minildm/files/checkpoint.py',
        'if digest is not None and digest != _digest(config):',
        'if False:', (CHECKPOINT,),
    ),
    Mutant(
        0, 'NaN is read', 'minildm/files/checkpoint.py',
        '    check_finite(tensors, folder / WEIGHTS)\n', '', (CHECKPOINT,),
    ),
    Mutant(
        0, 'NaN is written', 'minildm/files/checkpoint.py',
        '    check_finite(tensors, folder)\n', '', (CHECKPOINT,),
    ),
    Mutant(
        0, 'a crash between two moves loses the model', 'minildm/files/checkpoint.py',
        'if config["sha256"] == digest:', 'if False:', (CHECKPOINT,),
    ),
    Mutant(
        0, 'any checkpoint is taken for a training', 'minildm/engine/resume.py',
        'if form != FORMAT or info.get("step") != _step(place):',
        'if False:', (RESUME,),
    ),
    Mutant(
        0, 'damaged checkpoints are passed over in silence', 'minildm/engine/resume.py',
        'if resume != LAST_GOOD:', 'if resume is None:', (RESUME,),
    ),
    Mutant(
        0, 'refused checkpoints are deleted', 'minildm/engine/resume.py',
        'place.rename(_unused(place.with_name(place.name + ".refused")))',
        'shutil.rmtree(place)', (RESUME,),
    ),
    Mutant(
        0, 'other settings are not noticed', 'minildm/engine/resume.py',
        'for name, said in changes.items() if said]',
        'for name, said in changes.items() if False]', (RESUME, TRAIN),
    ),
    Mutant(
        0, 'a training is overwritten', 'minildm/engine/resume.py',
        '        if not resume:\n            must_be_new(self.folder)\n', '', (RESUME,),
    ),
    Mutant(
        0, 'a cut line of the metrics stops the training', 'minildm/engine/records.py',
        'if not line.endswith("\\n"):', 'if False:', (RESUME,),
    ),
    Mutant(
        0, 'latents of other weights are used', 'minildm/train.py',
        'then["weights"] == made_from["weights"]', 'then', (DATA,),
    ),
    # --- accumulation, several processes ----------------------------------------------------------
    Mutant(
        0, 'accumulation without dividing', 'minildm/engine/fit.py',
        'losses.sum() / (self.config.batch / self.world)', 'losses.mean()', (TRAIN,),
    ),
    Mutant(
        0, 'parts weigh the same whatever their size', 'minildm/engine/fit.py',
        'losses.sum() / (self.config.batch / self.world)', 'losses.mean() / self.config.accumulate', (TRAIN,),
    ),
    Mutant(
        0, 'gradient of a share of the batch too small', 'minildm/engine/fit.py',
        'losses.sum() / (self.config.batch / self.world)', 'losses.sum() / self.config.batch', (TWO,),
    ),
    Mutant(
        0, 'processes weigh the same whatever their share', 'minildm/engine/fit.py',
        'losses.sum() / (self.config.batch / self.world)',
        'losses.sum() / (self.config.batch // self.world + (self.rank < self.config.batch % self.world))', (TWO,),
    ),
    Mutant(
        0, 'all processes learn from the same samples', 'minildm/engine/fit.py',
        'indices[run.rank :: run.world]',
        'indices[0 :: run.world]', (TWO,),
    ),
    Mutant(
        0, 'every process learns from the whole batch', 'minildm/engine/fit.py',
        'indices[run.rank :: run.world]',
        'indices', (TWO,),
    ),
    Mutant(
        0, 'only the first part is exchanged', 'minildm/engine/fit.py',
        '            return [*parts, self._backward(last)]',
        '            with self.accelerator.no_sync(self.model):\n                return [*parts, self._backward(last)]', (TWO,),
    ),
    Mutant(
        0, 'the log is that of one process', 'minildm/engine/fit.py',
        'return gather_object(mine) if self.world > 1 else mine',
        'return mine * self.world', (TWO,),
    ),
    Mutant(
        0, 'all processes write', 'minildm/engine/fit.py',
        'accelerator.is_main_process)', 'True)', (TWO,),
    ),
    Mutant(
        0, 'all processes show their bar', 'minildm/engine/records.py',
        'hidden = not (show and is_main_process())', 'hidden = not show', (TWO,),
    ),
    Mutant(
        0, 'all processes have the same dropout', 'minildm/engine/fit.py',
        'Randomness(accelerator.device, config.seed, self.rank)',
        'Randomness(accelerator.device, config.seed, 0)', (TWO,),
    ),
    Mutant(
        0, 'two processes that do not see one another', 'minildm/engine/devices.py',
        'cpu = device == "cpu" or not torch.accelerator.is_available()',
        'cpu = device == "cpu"', (TWO,),
    ),
    # --- settings, schedule, records --------------------------------------------------------------
    Mutant(
        0, 'constant schedule falls too', 'minildm/engine/settings.py',
        'if self.schedule == "constant":', 'if False:', (TRAIN,),
    ),
    Mutant(
        0, 'precision of the first training stays', 'minildm/engine/devices.py',
        '    AcceleratorState._reset_state(reset_partial_state=not same_device)\n',
        '', (TRAIN,),
    ),
    Mutant(
        0, 'Accelerate leaves its wrapper on the network', 'minildm/engine/fit.py',
        '        at_the_end.callback(unprepare, net)\n',
        '', (GPU,),
    ),
    Mutant(
        0, 'the gradient norm is that after clipping', 'minildm/engine/fit.py',
        'self.log.norms.append(norm.reshape(1))',
        'self.log.norms.append(norm.clamp(max=self.config.clip).reshape(1))', (TRAIN,),
    ),
    Mutant(
        0, 'the time of the caller counts', 'minildm/engine/fit.py',
        '        self.seconds += perf_counter() - start\n\n    def backward',
        '        self.seconds = perf_counter()\n\n    def backward', (TRAIN,),
    ),
    Mutant(
        0, 'samples per second count steps', 'minildm/engine/fit.py',
        '(self.step - step) * self.config.batch / max(', '(self.step - step) / max(', (TRAIN,),
    ),
    Mutant(
        0, 'learning rate of the step after', 'minildm/engine/fit.py',
        'group["lr"] = config.lr_at(run.step)',
        'group["lr"] = config.lr_at(run.step + 1)', (TRAIN, TWO),
    ),
    Mutant(
        0, 'the seed reaches the first training only', 'minildm/engine/settings.py',
        'if k.split(".")[-1] == "seed"])', 'if k.split(".")[-1] == "seed"][:1])', (SETTINGS,),
    ),
    Mutant(
        0, 'text is not given the type of its setting', 'minildm/engine/settings.py',
        'else kind(text)', 'else text', (SETTINGS,),
    ),
    Mutant(
        0, '--resume is not passed on', 'minildm/__main__.py',
        'out, True, args.resume)', 'out, True, False)', (SETTINGS,),
    ),
    # --- devices ----------------------------------------------------------------------------------
    Mutant(
        0, 'the embedding of time is made on the CPU', 'minildm/layers.py',
        'torch.arange(half, device=t.device)', 'torch.arange(half)', (GPU,),
    ),
    Mutant(
        0, 'noise of the autoencoder is made on the CPU', 'minildm/process.py',
        'return self.mean + self.var.sqrt() * eps', 'return self.mean + self.var.sqrt() * eps.new_zeros(eps.shape, device="cpu")', (GPU,),
    ),
    Mutant(
        0, 'the null label is made on the CPU', 'minildm/condition.py',
        'torch.zeros(sizes, dtype=dtype, device=z_t.device)', 'torch.zeros(sizes, dtype=dtype)', (GPU,),
    ),
    Mutant(
        0, "an output with NaN ends a training without its step", "minildm/engine/fit.py",
        "except NotFinite as error:", "except ZeroDivisionError as error:", ("tests/library/test_train.py",),
    ),
    # --- what stops a training, and what it must not lose ------------------------------------------
    Mutant(
        0, 'a loss that is not finite is trained on', 'minildm/engine/fit.py',
        'elif not self._skipped(parts):',
        'elif False:', (STOPPING,),
    ),
    Mutant(
        0, 'weights that overflow reach the average', 'minildm/engine/optim.py',
        'raise inputs.NotFinite("the weights are not finite")',
        'pass', (STOPPING,),
    ),
    Mutant(
        0, 'weights that overflow are given back', 'minildm/engine/fit.py',
        '                    run.check_weights()\n',
        '                    pass\n', (STOPPING,),
    ),
    Mutant(
        0, 'Ctrl-C saves nothing', 'minildm/engine/fit.py',
        'if run.keeper and (run.due(config.save_every) or interrupt.asked):',
        'if run.keeper and run.due(config.save_every):', (STOPPING,),
    ),
    Mutant(
        0, 'Ctrl-C does not wait for the end of a step', 'minildm/engine/devices.py',
        '    signal.signal(signal.SIGINT, interrupt)\n', '', (STOPPING,),
    ),
    Mutant(
        0, 'Ctrl-C works only once in a session', 'minildm/engine/devices.py',
        '        signal.signal(signal.SIGINT, usual)\n', '        pass\n', (STOPPING,),
    ),
    Mutant(
        0, 'two processes train in one folder', 'minildm/engine/devices.py',
        '                _lock(handle)\n', '                pass\n', (STOPPING,),
    ),
    Mutant(
        0, 'a lock on a file that is gone counts', 'minildm/engine/devices.py',
        'if os.name == "nt" or os.path.samestat(os.stat(path), os.fstat(handle)):',
        'if True:', (STOPPING,),
    ),
    Mutant(
        0, 'two trainings of one process write in one folder', 'minildm/engine/devices.py',
        'if self._file is None:\n            raise', 'if False:\n            raise', (STOPPING,),
    ),
    Mutant(
        0, 'a training is made longer without being asked', 'minildm/engine/resume.py',
        'if longer and fewer:',
        'if fewer:', (RESUME,),
    ),
    # --- what is looked at before the first step --------------------------------------------------
    Mutant(
        0, 'labels are not looked at', 'minildm/checks/training_data.py',
        'return inputs.labels(name, few, len(few), config.classes)', 'return few', (DATA,),
    ),
    Mutant(
        0, 'a missing condition is no condition', 'minildm/checks/training_data.py',
        '        if wanted:\n            raise', '        if False:\n            raise', (DATA,),
    ),
    Mutant(
        0, 'a superfluous condition is ignored', 'minildm/checks/training_data.py',
        'if wanted == "":', 'if False:', (DATA,),
    ),
    Mutant(
        0, 'lazy pictures are looked at once', 'minildm/checks/training_data.py',
        '    if not isinstance(x, Tensor):\n        low', '    if False:\n        low', (DATA,),
    ),
    Mutant(
        0, 'the second stage is looked at after the first', 'minildm/train.py',
        '    condition = training_data.condition(second.model, condition, len(x), size)\n', '', (DATA,),
    ),
    # --- what a training knows again --------------------------------------------------------------
    Mutant(
        0, 'a training goes on with other data', 'minildm/train.py',
        'settings |= {key: identity.fingerprint(x) for key, x in data.items()}', 'pass', (DATA,),
    ),
    Mutant(
        0, 'other data of the same shape is the same', 'minildm/engine/identity.py',
        '        same = all(abs(a - b) <= CLOSE for a, b in pairs)',
        '        same = True', (DATA,),
    ),
    Mutant(
        0, 'data from another processor is other data', 'minildm/engine/identity.py',
        'CLOSE = 1e-5', 'CLOSE = 0.0', (DATA,),
    ),
    Mutant(
        0, 'betas count to the last digit', 'minildm/engine/identity.py',
        '{beta:.9e}', '{beta!r}', (DATA,),
    ),
    Mutant(
        0, 'latents are kept for the first images', 'minildm/train.py',
        '"images": identity.fingerprint(x),', '"images": identity.fingerprint(x[torch.arange(16)]),', (DATA,),
    ),
    Mutant(
        0, 'latents are kept for the decoder', 'minildm/train.py',
        'identity.weights_digest(autoencoder, but=("scale",))', 'identity.weights_digest(autoencoder.decoder)', (DATA,),
    ),
    # --- survivors of an earlier round ------------------------------------------------------------
    Mutant(
        0, 'conditions are dropped by their time', 'minildm/train.py',
        'batch.uniform(DROP) < config.drop', 'batch.uniform(TIME) < config.drop', (TRAIN,),
    ),
    Mutant(
        0, 'AdamW with the memory of Adam', 'minildm/engine/optim.py',
        'config.lr, (0.9, 0.99)', 'config.lr, (0.9, 0.999)', (TRAIN,),
    ),
    Mutant(
        0, 'the learning rate of a record is a later one', 'minildm/engine/fit.py',
        'self.config.lr_at(self.step - 1), self.seconds', 'self.config.lr_at(self.step + 1), self.seconds', (TRAIN,),
    ),
    Mutant(
        0, 'a hash that is not SplitMix64', 'minildm/noise.py',
        '(state >> 30)', '(state >> 31)', (TRAIN,),
    ),
]  # fmt: skip
