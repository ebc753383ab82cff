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


class Simulation:
    """The kernels for one kind of image.

    value, channels, region: as for `entropy_program`. mutation: (old, new), to be replaced in the source.
    """

    def __init__(self, folder, value, channels, region, mutation=None):
        program = entropy_program(value, channels, region)
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
        self.library = ctypes.CDLL(str(library))
        self.channels, self.region = channels, region

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
        function = getattr(self.library, f"run_{name}")
        function.argtypes = [ctypes.c_uint, *launch.PARAMETERS[name]]
        function.restype = None
        pointers = [tensor.data_ptr() for tensor in tensors]
        function(blocks, *pointers, count, height, width, across, down, *last)
