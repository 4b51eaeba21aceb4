"""Peak memory of a run."""

import resource
from pathlib import Path

import torch

_STATUS, _RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def reset_peak_memory(device: str) -> None:
    """Start a new peak; on a CPU without a /proc file system the peak is the process's own."""
    if device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats()
    elif _RESET.exists():
        _RESET.write_text("5")


def peak_memory(device: str) -> int:
    """Bytes at the peak since the reset: of the GPU's allocator, or resident on a CPU."""
    if device.startswith("cuda"):
        return torch.cuda.max_memory_allocated()
    if _STATUS.exists():
        for line in _STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
