"""Launches kernels through the real cuda-bindings on the driver of host_driver.cpp; run by test_launch.py.

    LD_LIBRARY_PATH=FOLDER python played_launches.py FOLDER      # FOLDER holds libcuda.so.1

Everything is as on a GPU but the kernels, which run on the host, and what only PyTorch with CUDA has: its
current stream, its device's capability and memory that a GPU can write to.
"""

import ctypes
import sys
import types
from pathlib import Path

import torch
from warp_simulation import build

from mint_rl.cuda import compile as compiler
from mint_rl.cuda import launch
from mint_rl.entropy import local_entropy, operator, reference
from mint_rl.errors import UserError

folder = Path(sys.argv[1])
asked = []


def host_binary(program, architecture):
    asked.append(architecture)
    place = folder / str(len(asked))
    place.mkdir()
    return str(build(place, program)).encode() + b"\0"


bad_value = torch.zeros(1)
compiler.compiled = host_binary
launch._bad_value = lambda: bad_value
torch.cuda.current_stream = lambda device: types.SimpleNamespace(cuda_stream=77)
torch.cuda.get_device_capability = lambda device: (9, 0)
driver = ctypes.CDLL("libcuda.so.1")
driver.played_stream.restype = ctypes.c_long

images = torch.rand(2, 3, 40, 11).mT  # not contiguous
grad = torch.randn(2, 38, 9).mT
assert launch.ready(images, 3)
hard, soft = launch.hard_entropy(images, 3), launch.soft_entropy(images, 3, 1e-3)
slope = launch.soft_entropy_backward(images, grad, 3, 1e-3)
torch.testing.assert_close(hard, reference.hard_entropy(images, 3), atol=1e-6, rtol=0)
torch.testing.assert_close(soft, reference.soft_entropy(images, 3, 1e-3), atol=2e-5, rtol=0)
expected = reference.soft_entropy_backward(images, grad, 3, 1e-3)
assert (slope - expected).abs().max() < 1e-3 * expected.abs().max()
assert asked == ["sm_90"], "compiled more than once"
assert [driver.played_stream(n) for n in range(4)] == [77, 77, 77, -1]
assert driver.played_depth() == 1, "a context was left on the stack"

# From the public function down, with a gradient; bad values are refused once.
operator._kernels = lambda given, region: launch
operator.check_values = lambda given: None
leaf = torch.rand(1, 3, 7, 6, requires_grad=True)
local_entropy(leaf, bins="soft").sum().backward()
padded = torch.nn.functional.pad(leaf.detach(), (1, 1, 1, 1), mode="replicate").requires_grad_()
expected = reference.soft_entropy_backward(padded.detach(), torch.ones(1, 7, 6), 3, 1e-3)
inside = expected[..., 2:-2, 2:-2]
assert (leaf.grad[..., 1:-1, 1:-1] - inside).abs().max() < 1e-3 * expected.abs().max()


def refused(given, bins):
    try:
        local_entropy(given, bins=bins)
    except UserError as error:
        return str(error)
    return ""


for value in (float("nan"), 200.0):
    leaf.data[0, 1, 3, 3] = value
    for bins in ("hard", "soft"):
        assert f"hold the value {value:g}; all must lie in [0, 1]" in refused(leaf, bins)
        assert not refused(images, bins), "told twice"
        bad_value.fill_(value)  # a kernel of before comes to its end only now
        assert f"hold the value {value:g}; all must lie in [0, 1]" in refused(images, bins)
        assert not refused(images, bins), "told twice"
print("launched")
