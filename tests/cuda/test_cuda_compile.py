"""The CUDA source compiles, within its budgets, and compiled kernels are kept on disk. No GPU is needed."""

import os
import re
import shutil
import subprocess
import sys

import pytest

from mint_rl.cuda import compile as compiler
from mint_rl.cuda.compile import CompilationError, Program, compile_program, compiled, entropy_program

NVCC = shutil.which("nvcc")
ARCHITECTURES = ("sm_75", "sm_80", "sm_90", "sm_100", "compute_80")
# Registers a thread of hard, soft and backward; up to regions of 7 nothing may be spilled. A multiprocessor
# has 65,536: with 128 a thread it holds 16 warps.
BUDGETS = {
    ("float", 3, 3): (96, 128, 128),
    ("unsigned char", 3, 3): (72, 128, 128),
    ("float", 3, 5): (104, 128, 168),
    ("float", 3, 7): (128, 168, 240),
    ("float", 1, 3): (64, 64, 72),
    ("float", 3, 11): (160, 176, 255),
}
KERNELS = ("hard_entropy", "soft_entropy", "soft_entropy_backward")


@pytest.fixture
def nvrtc():
    try:
        return compiler.nvrtc_version()
    except CompilationError as error:
        pytest.skip(str(error))


def nvcc(program, folder, *options):
    (folder / program.name).write_text(program.source)
    for name, text in program.headers:
        (folder / name).write_text(text)
    files = ["-o", str(folder / "out"), str(folder / program.name)]
    command = [NVCC, "-std=c++17", *options, *program.options, *files]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize(("value", "channels", "region"), [("float", 3, 3), ("unsigned char", 12, 5)])
def test_nvrtc_compiles(nvrtc, architecture, value, channels, region):
    binary = compile_program(entropy_program(value, channels, region), architecture)
    assert binary[:4] == b"\x7fELF" if architecture.startswith("sm_") else b".entry soft_entropy(" in binary
    for name in KERNELS:
        assert name.encode() in binary


@pytest.mark.skipif(NVCC is None, reason="nvcc is not installed")
@pytest.mark.parametrize("architecture", ["sm_80", "sm_90", "sm_100"])
@pytest.mark.parametrize("kind", [("float", 3, 3), ("float", 3, 7)])
def test_nvcc_keeps_the_budgets(tmp_path, architecture, kind):
    check_budgets(tmp_path, architecture, kind)


@pytest.mark.skipif(NVCC is None, reason="nvcc is not installed")
@pytest.mark.parametrize(
    "kind", [("unsigned char", 3, 3), ("float", 1, 3), ("float", 3, 5), ("float", 3, 11)]
)
def test_nvcc_keeps_the_other_budgets(tmp_path, kind):
    check_budgets(tmp_path, "sm_90", kind)


@pytest.mark.skipif(NVCC is None, reason="nvcc is not installed")
def test_nvcc_makes_ptx(tmp_path):
    nvcc(entropy_program("float", 3, 3), tmp_path, "-arch=compute_80", "-ptx")
    assert all(f".entry {name}(" in (tmp_path / "out").read_text() for name in KERNELS)


def check_budgets(folder, architecture, kind):
    program = entropy_program(*kind)
    assert "-DENTROPY_KEPT=true" in program.options
    report = nvcc(program, folder, f"-arch={architecture}", "-cubin", "-Xptxas", "-v")
    spills = r"(\d+) bytes spill stores, (\d+) bytes spill loads"
    found = re.findall(rf"entry function '(\w+)'.*?{spills}.*?Used (\d+) registers", report, re.DOTALL)
    assert sorted(name for name, *_ in found) == sorted(KERNELS)
    budgets = dict(zip(KERNELS, BUDGETS[kind], strict=True))
    for name, stores, loads, registers in found:
        assert max(int(stores), int(loads)) <= (0 if kind[2] <= 7 else 32), f"{name} spills"
        assert int(registers) <= budgets[name], name


@pytest.mark.skipif(NVCC is None, reason="nvcc is not installed")
def test_the_budget_check_can_fail(tmp_path):
    """With many rows in a strip the values do not fit into the registers, and the report says so."""
    program = entropy_program("float", 3, 11)
    options = [option.replace("BACKWARD_ROWS=4", "BACKWARD_ROWS=16") for option in program.options]
    assert options != list(program.options)
    program = Program(program.name, program.source, program.headers, tuple(options))
    report = nvcc(program, tmp_path, "-arch=sm_90", "-cubin", "-Xptxas", "-v")
    assert max(int(size) for size in re.findall(r"(\d+) bytes spill stores", report)) > 0


def test_a_mistake_comes_with_the_compilers_words(nvrtc):
    with pytest.raises(CompilationError, match=r"NVRTC cannot compile broken\.cu for sm_80: .*no_such_thing"):
        compile_program(Program("broken.cu", "__global__ void f() { no_such_thing(); }"), "sm_80")
    with pytest.raises(CompilationError):
        compile_program(Program("empty.cu", ""), "sm_1")


def test_architectures(nvrtc):
    assert compiler.architecture_for((8, 0)) == "sm_80"
    assert compiler.architecture_for((9, 0)) == "sm_90"
    assert re.fullmatch(r"compute_\d+", compiler.architecture_for((99, 0)))
    with pytest.raises(CompilationError, match="compiles for compute capability"):
        compiler.architecture_for((1, 3))


SMALL = Program("small.cu", 'extern "C" __global__ void zero(int *p) { *p = VALUE; }', (), ("-DVALUE=0",))


def test_the_cache_is_keyed_by_all_that_matters(nvrtc, tmp_path, monkeypatch):
    calls = []
    real = compiler.compile_program
    monkeypatch.setattr(compiler, "compile_program", lambda *given: calls.append(given) or real(*given))
    other_option = Program(SMALL.name, SMALL.source, (), ("-DVALUE=1",))
    other_source = Program(SMALL.name, SMALL.source + "\n", (), SMALL.options)
    other_header = Program(SMALL.name, SMALL.source, (("a.cuh", ""),), SMALL.options)
    for program in (SMALL, other_option, other_source, other_header):
        first = compiled(program, "sm_80", tmp_path)
        assert compiled(program, "sm_80", tmp_path) == first
    compiled(SMALL, "sm_90", tmp_path)
    monkeypatch.setattr(compiler, "nvrtc_version", lambda: "0.0")
    compiled(SMALL, "sm_80", tmp_path)
    assert len(calls) == 6
    assert len(list(tmp_path.iterdir())) == 6


def test_a_damaged_file_is_made_anew(nvrtc, tmp_path):
    first = compiled(SMALL, "sm_80", tmp_path)
    (kept,) = tmp_path.iterdir()
    whole = kept.read_bytes()
    for damaged in (b"", whole[:-1], whole[:40] + b"x" + whole[41:]):
        kept.write_bytes(damaged)
        assert compiled(SMALL, "sm_80", tmp_path) == first
        assert kept.read_bytes() == whole


def test_nowhere_to_keep_it(nvrtc, tmp_path):
    (tmp_path / "file").write_text("in the way")
    assert compiled(SMALL, "sm_80", tmp_path / "file" / "folder") == compile_program(SMALL, "sm_80")


def test_processes_that_start_together(nvrtc, tmp_path):
    script = (
        "from mint_rl.cuda.compile import compiled, entropy_program\n"
        "import hashlib\n"
        "print(hashlib.sha256(compiled(entropy_program('float', 1, 3), 'sm_80')).hexdigest())"
    )
    environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path)}
    processes = [
        subprocess.Popen([sys.executable, "-c", script], env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    answers = {process.communicate(timeout=120)[0] for process in processes}
    assert len(answers) == 1
    assert len(answers.pop().strip()) == 64
    assert len(list((tmp_path / "mint-rl" / "kernels").iterdir())) == 1


def test_without_nvrtc_the_reason_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "cuda.bindings", None)
    compiler._nvrtc.cache_clear()
    try:
        with pytest.raises(CompilationError, match=r"NVRTC cannot be loaded .* pip install cuda-bindings"):
            compiler.nvrtc_version()
    finally:
        compiler._nvrtc.cache_clear()
