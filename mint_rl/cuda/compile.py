"""Compiling the package's CUDA source at run time, with NVRTC, and keeping the result on disk.

NVRTC and its binding, cuda-bindings, come as wheels with PyTorch's own CUDA wheels: no toolkit, no compiler
and no environment variable is needed. The cache lies in the user's cache folder (XDG_CACHE_HOME or ~/.cache).
A file's name holds a digest of the source, the options, the architecture and NVRTC's version, and files
appear whole, so processes that start at the same time do no harm. Where nothing can be kept, every process
compiles for itself.
"""

from __future__ import annotations

import functools
import hashlib
import math
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from mint_rl.errors import UserError
from mint_rl.files import atomic_path, cache_folder

HEADERS = ("lanes.cuh", "strip.cuh", "entropy.cuh")
WARPS = 4  # in a block; each computes one strip
FORWARD_ROWS, BACKWARD_ROWS = 8, 4  # of a strip
# In the backward kernel a lane keeps at most so many values of its column in registers: 24 rows, 3 channels.
MOST_KEPT = 72


class CompilationError(RuntimeError):
    """The CUDA source cannot be compiled here: NVRTC is missing, or it refuses."""


@dataclass(frozen=True)
class Program:
    """CUDA source with its headers (by the name in #include) and compiler options."""

    name: str
    source: str
    headers: tuple[tuple[str, str], ...] = ()
    options: tuple[str, ...] = ()


def entropy_program(value: str, channels: int, region: int) -> Program:
    """The entropy kernels for images of one kind.

    value: "float" or "unsigned char". channels, region: C and R. The kernels are `hard_entropy`,
    `soft_entropy` and `soft_entropy_backward`.
    """
    folder = files("mint_rl.cuda")
    headers = [(name, (folder / name).read_text(encoding="utf-8")) for name in HEADERS]
    headers.append(("gains.cuh", gains_header(channels * region**2)))
    kept = channels * (BACKWARD_ROWS + 2 * (region - 1)) <= MOST_KEPT
    return Program(
        "entropy.cu",
        (folder / "entropy.cu").read_text(encoding="utf-8"),
        tuple(headers),
        (
            f"-DENTROPY_VALUE={value}",
            f"-DENTROPY_CHANNELS={channels}",
            f"-DENTROPY_REGION={region}",
            f"-DENTROPY_KEPT={str(kept).lower()}",
            f"-DENTROPY_WARPS={WARPS}",
            f"-DENTROPY_FORWARD_ROWS={FORWARD_ROWS}",
            f"-DENTROPY_BACKWARD_ROWS={BACKWARD_ROWS}",
        ),
    )


def gains_header(per_region: int) -> str:
    """A table of n ln n for n = 0..M in 32-bit fixed point, and what one unit of it is in the entropy."""
    most = per_region * math.log(per_region)
    bits = int(math.log2((2**32 - 1) / most)) if per_region > 1 else 0
    gains = [round(n * math.log(n) * 2.0**bits) if n else 0 for n in range(per_region + 1)]
    unit = 2.0**-bits / per_region
    table = ", ".join(f"{gain}u" for gain in gains)
    return f"TABLE unsigned GAINS[] = {{{table}}};\nconstexpr float GAINS_UNIT = {unit!r}f;\n"


def compiled(program: Program, architecture: str, folder: Path | None = None) -> bytes:
    """`compile_program`, or what it gave before.

    architecture: as for `compile_program`. folder: of the cache; None for the user's.
    Raises `CompilationError`.
    """
    folder = cache_folder("kernels") if folder is None else folder
    digest = hashlib.sha256(repr((program, architecture, nvrtc_version())).encode()).hexdigest()
    path = folder / f"{Path(program.name).stem}-{architecture}-{digest[:24]}.bin"
    try:
        return unsealed(path.read_bytes())
    except (OSError, ValueError):  # not there, not readable, or damaged: it is made anew
        pass
    binary = compile_program(program, architecture)
    try:
        with atomic_path(path) as temporary:
            temporary.write_bytes(sealed(binary))
    except (OSError, UserError):  # nowhere to keep it; the next process compiles again
        pass
    return binary


def sealed(binary: bytes) -> bytes:
    """The binary behind its own digest."""
    return hashlib.sha256(binary).digest() + binary


def unsealed(content: bytes) -> bytes:
    """The binary out of `sealed`; ValueError if a byte is missing or wrong."""
    digest, binary = content[:32], content[32:]
    if hashlib.sha256(binary).digest() != digest:
        raise ValueError("the digest does not fit")
    return binary


def compile_program(program: Program, architecture: str) -> bytes:
    """Machine code for an architecture such as "sm_90", or PTX, as text with a final zero, for "compute_90".

    Raises `CompilationError` with the compiler's messages.
    """
    nvrtc = _nvrtc()
    handle = _checked(
        nvrtc,
        nvrtc.nvrtcCreateProgram(
            program.source.encode(),
            program.name.encode(),
            len(program.headers),
            [text.encode() for _, text in program.headers],
            [name.encode() for name, _ in program.headers],
        ),
    )
    options = [f"--gpu-architecture={architecture}", "--std=c++17", *program.options]
    (status,) = nvrtc.nvrtcCompileProgram(handle, len(options), [option.encode() for option in options])
    if status != nvrtc.nvrtcResult.NVRTC_SUCCESS:
        log = bytearray(_checked(nvrtc, nvrtc.nvrtcGetProgramLogSize(handle)))
        nvrtc.nvrtcGetProgramLog(handle, log)
        nvrtc.nvrtcDestroyProgram(handle)
        raise CompilationError(
            f"NVRTC cannot compile {program.name} for {architecture}: {bytes(log).decode()}"
        )
    if architecture.startswith("sm_"):
        size, read = nvrtc.nvrtcGetCUBINSize, nvrtc.nvrtcGetCUBIN
    else:
        size, read = nvrtc.nvrtcGetPTXSize, nvrtc.nvrtcGetPTX
    binary = bytearray(_checked(nvrtc, size(handle)))
    _checked(nvrtc, read(handle, binary))
    nvrtc.nvrtcDestroyProgram(handle)
    return bytes(binary)


def architecture_for(capability: tuple[int, int]) -> str:
    """What to compile for on a device of this compute capability.

    Its own machine code where NVRTC knows it; for a newer device the newest PTX, which its driver translates.
    Raises `CompilationError` for a device older than all that NVRTC knows.
    """
    nvrtc = _nvrtc()
    known = [int(number) for number in _checked(nvrtc, nvrtc.nvrtcGetSupportedArchs())]
    own = 10 * capability[0] + capability[1]
    if own in known:
        return f"sm_{own}"
    older = [number for number in known if number < own]
    if not older:
        raise CompilationError(
            f"NVRTC {nvrtc_version()} compiles for compute capability {min(known)} and later"
        )
    return f"compute_{max(older)}"


def nvrtc_version() -> str:
    """For example "13.0"; `CompilationError` if NVRTC cannot be loaded."""
    nvrtc = _nvrtc()
    status, major, minor = nvrtc.nvrtcVersion()
    _checked(nvrtc, (status,))
    return f"{major}.{minor}"


@functools.cache
def _nvrtc() -> Any:
    try:
        from cuda.bindings import nvrtc

        nvrtc.nvrtcVersion()  # loads the library
    except Exception as error:  # not installed, or the library behind it is missing: it says so in many ways
        raise CompilationError(
            f"NVRTC cannot be loaded ({error}); install it with: pip install cuda-bindings nvidia-cuda-nvrtc"
        ) from error
    return nvrtc


def _checked(nvrtc: Any, answer: tuple[Any, ...]) -> Any:
    """The value in NVRTC's answer (status, value); `CompilationError` for any status but success."""
    if answer[0] != nvrtc.nvrtcResult.NVRTC_SUCCESS:
        raise CompilationError(f"NVRTC: {answer[0]}")
    return answer[1] if len(answer) > 1 else None
