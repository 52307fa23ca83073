"""The compile decorator: the cache cannot go stale, an unwritable cache does not break the import, types are kept."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import hdlimit.kernels.jit
from hdlimit.kernels.jit import jit

CALLEE = "from mini.jit import jit\n\n\n@jit('float64(float64)')\ndef inner(x):\n    return {factor} * x\n"
CALLER = (
    "from mini.jit import jit\nfrom mini.callee import inner\n\n\n"
    "@jit('float64(float64)')\ndef outer(x):\n    return inner(x) + 1.0\n"
)
REPORT = (
    "from mini.caller import outer; value = outer(2.0); compiled = outer.compiled; "
    "print(value, sum(compiled.stats.cache_hits.values()), type(compiled._cache).__name__)"
)


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A package of two kernels in two files that uses a copy of the decorator."""
    folder = tmp_path / "mini"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    shutil.copy(hdlimit.kernels.jit.__file__, folder / "jit.py")
    (folder / "callee.py").write_text(CALLEE.format(factor="2.0"))
    (folder / "caller.py").write_text(CALLER)
    return tmp_path


def run(package: Path, **environment: str) -> list[str]:
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("NUMBA_") and k != "PYTHONPATH"}
    result = subprocess.run(
        [sys.executable, "-B", "-c", REPORT],
        cwd=package,
        env=inherited | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.split()


def test_an_edited_callee_in_another_file_is_seen(package: Path) -> None:
    assert run(package)[:2] == ["5.0", "0"]
    assert run(package)[:2] == ["5.0", "1"]
    (package / "mini" / "callee.py").write_text(CALLEE.format(factor="3.0"))
    assert run(package)[:2] == ["7.0", "0"]


def test_without_a_writable_cache_kernels_compile_uncached(package: Path) -> None:
    (package / "mini" / "__pycache__").write_text("a file where numba wants a folder")
    blocked = package / "blocked"
    blocked.write_text("a file where the cache folder would be")
    places = {"HOME": str(blocked), "XDG_CACHE_HOME": str(blocked)}
    assert run(package, **places) == ["5.0", "0", "NullCache"]


def test_uncompiled_kernels_run_as_python(package: Path) -> None:
    code = "from mini.caller import outer; print(outer(2.0), type(outer.compiled).__name__)"
    command = [sys.executable, "-B", "-c", code]
    environment = os.environ | {"NUMBA_DISABLE_JIT": "1", "PYTHONPATH": ""}
    result = subprocess.run(command, cwd=package, env=environment, capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["5.0", "function"]


def test_several_signatures_and_none() -> None:
    @jit(["float64(float64)", "int64(int64)"], cache=False)
    def twice(x: float) -> float:
        return 2 * x

    @jit(cache=False)
    def lazily(x: float) -> float:
        return x / 0.0

    assert twice(3) == 6 and isinstance(twice(3), int) and twice(1.5) == 3.0
    assert lazily(1.0) == float("inf")
    with pytest.raises(TypeError):
        twice("a")  # type: ignore[arg-type]
