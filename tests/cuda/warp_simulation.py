"""Builds the package's CUDA kernels for the host, with g++ and simulated warps, and calls them."""

from __future__ import annotations

import ctypes
import math
import shutil
import subprocess
from pathlib import Path

import torch

from mint_rl.cuda import launch
from mint_rl.cuda.compile import entropy_program

HERE = Path(__file__).parent
GXX = shutil.which("g++")


def build(folder, program, mutation=None):
    """Path of a shared library of the program's kernels. mutation: (old, new), replaced in the source."""
    texts = {program.name: program.source, **dict(program.headers)}
    texts["lanes.cuh"] = (HERE / "host_lanes.cuh").read_text()
    texts["main.cpp"] = (HERE / "host_main.cpp").read_text()
    if mutation:
        assert any(mutation[0] in text for text in texts.values()), f"not in the source: {mutation[0]}"
        texts = {name: text.replace(*mutation) for name, text in texts.items()}
    for name, text in texts.items():
        (folder / name).write_text(text)
    library = folder / "kernels.so"
    command = [GXX, "-O1", "-std=c++17", "-shared", "-fPIC", "-Wno-unknown-pragmas", *program.options]
    subprocess.run([*command, "-o", str(library), str(folder / "main.cpp")], check=True)
    return library


class Simulation:
    """The kernels for one kind of image; value, channels, region as for `entropy_program`."""

    def __init__(self, folder, value, channels, region, mutation=None):
        self.library = ctypes.CDLL(str(build(folder, entropy_program(value, channels, region), mutation)))
        self.channels, self.region = channels, region
        self.bad = torch.zeros(1)

    def hard_entropy(self, images):
        return self._entropy("hard_entropy", images, ())

    def soft_entropy(self, images, bandwidth):
        return self._entropy("soft_entropy", images, launch.soft_bins(bandwidth))

    def soft_entropy_backward(self, images, grad, bandwidth):
        result = torch.full_like(images, math.nan)
        scale = -math.log(2) / (self.channels * self.region**2 * bandwidth)
        last = (*launch.soft_bins(bandwidth), scale)
        self._run("soft_entropy_backward", images, (images, grad, result), last, backward=True)
        return result

    def bad_value(self):
        """What the kernels have left of bad values since the last question; 0 for none."""
        value = self.bad.item()
        self.bad.zero_()
        return value

    def strip_of(self, block, warp, count, height, width, across, down):
        """Offset of a strip's image in the values, its first row and column; None where there is no strip."""
        corner = (ctypes.c_int * 2)()
        function = self.library.strip_of
        function.restype = ctypes.c_longlong
        function.argtypes = [ctypes.c_uint] * 2 + [ctypes.c_longlong] + [ctypes.c_int] * 4 + [type(corner)]
        offset = function(block, warp, count, height, width, across, down, corner)
        return None if offset < 0 else (offset, corner[0], corner[1])

    def _entropy(self, name, images, last):
        count, _, height, width = images.shape
        entropy = torch.full((count, height - self.region + 1, width - self.region + 1), math.nan)
        self._run(name, images, (images, entropy), last)
        return entropy

    def _run(self, name, images, tensors, last, backward=False):
        count, _, height, width = images.shape
        assert all(tensor.is_contiguous() for tensor in tensors)
        blocks, across, down = launch.grid(count, height, width, self.region, backward)
        pointers = [tensor.data_ptr() for tensor in (*tensors, self.bad)]
        given = [*pointers, count, height, width, across, down, *last]
        values = [kind(value) for kind, value in zip(launch.PARAMETERS[name], given, strict=True)]
        addresses = (ctypes.c_void_p * len(values))(*[ctypes.addressof(value) for value in values])
        getattr(self.library, f"run_{name}")(ctypes.c_uint(blocks), addresses)
