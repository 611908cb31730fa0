"""What graphics cards reach at most, for an estimate of a training's time."""

PEAK = {  # operations per second, dense, from the makers' data sheets
    "NVIDIA T4, float32": 8.1e12,
    "NVIDIA T4, float16": 65e12,
    "NVIDIA A100, float32 (no TF32)": 19.5e12,
    "NVIDIA A100, bfloat16": 312e12,
    "NVIDIA H100 SXM, bfloat16": 989e12,
}
