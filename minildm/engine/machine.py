"""On what machine, and how busy a one, a figure was taken."""

import os
import platform

import torch


def surroundings() -> dict:
    """Processor, torch, threads, and the load average (1, 5, 15 minutes) where there is one."""
    load = [round(value, 2) for value in os.getloadavg()] if hasattr(os, "getloadavg") else None
    return {
        "machine": f"{platform.machine()}, torch {torch.__version__}",
        "threads": torch.get_num_threads(),
        "load_average": load,
    }
