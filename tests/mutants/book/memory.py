"""Faults in the memory of a training."""

from mutants import Mutant

MEMORY = "tests/book/test_memory.py"

MUTANTS = [
    Mutant(0, 'one moment for AdamW', 'chapters/book/ch05_6_gpu/memory.py',
        'moments = 2 * nbytes(learned) - nbytes(single)',
        'moments = nbytes(learned)', (MEMORY,)),
    Mutant(0, 'frozen parameters have gradients', 'chapters/book/ch05_6_gpu/memory.py',
        'learned = [p for p in net.parameters() if p.requires_grad]',
        'learned = list(net.parameters())', (MEMORY,)),
    Mutant(0, 'Muon keeps two moments of convolutions', 'chapters/book/ch05_6_gpu/memory.py',
        'LAYERS = (nn.Linear, nn.Conv2d)',
        'LAYERS = (nn.Linear,)', (MEMORY,)),
    Mutant(0, 'a saved view counts as itself', 'chapters/book/ch05_6_gpu/memory.py',
        'found = sum(storage.nbytes() for storage in kept.values())',
        'found = sum(storage.nbytes() // 2 for storage in kept.values())', (MEMORY,)),
    Mutant(0, 'weights count as activations', 'chapters/book/ch05_6_gpu/memory.py',
        'if storage._cdata not in own:',
        'if True:', (MEMORY,)),
    Mutant(0, 'a storage that is saved twice counts twice', 'chapters/book/ch05_6_gpu/memory.py',
        'kept[storage._cdata] = storage',
        'kept[len(kept)] = storage', (MEMORY,)),
    Mutant(0, 'the peak on CUDA is not reset', 'chapters/book/ch05_6_gpu/memory.py',
        '    torch.cuda.reset_peak_memory_stats(device)\n',
        '', (MEMORY,)),
    Mutant(0, 'what was there before counts as a rise', 'chapters/book/ch05_6_gpu/memory.py',
        'return torch.cuda.max_memory_allocated(device) - before',
        'return torch.cuda.max_memory_allocated(device)', (MEMORY,)),
    Mutant(0, 'only what is left at the end counts', 'chapters/book/ch05_6_gpu/memory.py',
        '            peak = max(peak, process.memory_info().rss)\n',
        '            peak = process.memory_info().rss\n', (MEMORY,)),
]  # fmt: skip
