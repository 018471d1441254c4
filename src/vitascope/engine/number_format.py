"""With which numbers torch computes: what a precision means on a device, and which algorithms it may take."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch

DTYPES = {"f32": torch.float32, "tf32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16}
"""In which numbers a network's layers compute; ``tf32`` rounds factors to 10 bits inside of products only."""


@contextmanager
def numbers(device: torch.device, precision: str) -> Iterator[None]:
    """Compute in a precision within, by deterministic algorithms: :func:`settings` and :func:`autocast` together."""
    with settings(device, precision), autocast(device, precision):
        yield


@contextmanager
def settings(device: torch.device, precision: str) -> Iterator[None]:
    """Have an NVIDIA card keep to a precision within, by deterministic algorithms; leave all as it was.

    ``f32`` is 32 bit throughout: torch's own default takes TF32 for convolutions. Where torch knows no deterministic
    algorithm it warns, once, and takes the one there is. Settings are the process's: callers take turns.

    Parameters
    ----------
    device : torch.device
        Nothing is set for others than ``cuda``.
    precision : {"f32", "tf32", "bf16", "f16"}
    """
    if device.type != "cuda":
        yield
        return
    # cuBLAS is deterministic only with a workspace of its own, and reads this when it first computes
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    before = cudnn.allow_tf32, matmul.allow_tf32, cudnn.deterministic, cudnn.benchmark
    were, only_told = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )
    cudnn.allow_tf32 = matmul.allow_tf32 = precision == "tf32"
    cudnn.deterministic, cudnn.benchmark = True, False
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("once", message=".*does not have a deterministic implementation.*")
            yield
    finally:
        cudnn.allow_tf32, matmul.allow_tf32, cudnn.deterministic, cudnn.benchmark = before
        torch.use_deterministic_algorithms(were, warn_only=only_told)


def autocast(device: torch.device, precision: str) -> torch.autocast | nullcontext[None]:
    """Return what makes layers within compute in 16 bit for ``bf16`` and ``f16``; weights stay in 32 bit."""
    dtype = DTYPES[precision]
    return torch.autocast(device.type, dtype) if dtype is not torch.float32 else nullcontext()
