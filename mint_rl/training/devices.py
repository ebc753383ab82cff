"""Where a run computes."""

from __future__ import annotations

import torch

from mint_rl.errors import UserError


def require_device(device: str) -> None:
    """`UserError` unless PyTorch can compute on the device: "cpu", "cuda", "cuda:1" …"""
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # PyTorch without CUDA asserts that it has it
        raise UserError(
            f"cannot compute on the device '{device}', choose --device cpu: {str(error).splitlines()[0]}"
        ) from error
