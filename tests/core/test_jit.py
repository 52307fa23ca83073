"""The compile decorator: nothing is compiled before it is used, the cache cannot go stale, an unwritable cache breaks
nothing, types are kept, kernels also run as Python.
"""

import importlib
import math
import os
import pickle
import pkgutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import hdlimit as hd
import hdlimit.core.jit
import hdlimit.kernels
import hdlimit.simulation.kernels
from hdlimit.core.backend import Stopped, flagged
from hdlimit.core.jit import RESPONSE, VECTOR, Kernel, Type, float64, jit, python
from hdlimit.kernels import esdirk, responses
from hdlimit.kernels import lazy_table as memory
from hdlimit.limit.integrator import initial_range, prepared
from hdlimit.limit.system import limit_of

CALLEE = "from mini.core.jit import jit\n\n\n@jit('float64(float64)')\ndef inner(x):\n    return {factor} * x\n"
CALLER = (
    "from mini.core.jit import jit\nfrom mini.kernels import callee\nfrom mini.kernels.callee import inner\n\n\n"
    "@jit('float64(float64)')\ndef outer(x):\n    return inner(x) + 1.0\n\n\n"
    "@jit('float64(float64)')\ndef through_module(x):\n    return callee.inner(x) - 1.0\n"
)
REPORT = (
    "from mini.kernels.caller import outer; value = outer(2.0); compiled = outer.compiled; "
    "print(value, sum(compiled.stats.cache_hits.values()), type(compiled._cache).__name__)"
)
EDITED = (
    "from pathlib import Path; from mini.kernels import callee, caller; path = Path(callee.__file__); "
    "path.write_text(path.read_text().replace('2.0', '3.0')); print(caller.outer(2.0))"
)


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A package of kernels in two files that uses a copy of the decorator."""
    folder = tmp_path / "mini"
    for room in (folder, folder / "core", folder / "kernels"):
        room.mkdir()
        (room / "__init__.py").write_text("")
    for name in ("core/jit.py", "core/backend.py", "core/signatures.py", "errors.py"):
        text = (Path(hdlimit.__file__).parent / name).read_text()
        (folder / name).write_text(text.replace("from hdlimit.", "from mini."))
    (folder / "kernels" / "callee.py").write_text(CALLEE.format(factor="2.0"))
    (folder / "kernels" / "caller.py").write_text(CALLER)
    return tmp_path


def run(package: Path, code: str = REPORT, **environment: str) -> list[str]:
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("NUMBA_") and k != "PYTHONPATH"}
    result = subprocess.run(
        [sys.executable, "-B", "-c", code],
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
    (package / "mini" / "kernels" / "callee.py").write_text(CALLEE.format(factor="3.0"))
    assert run(package)[:2] == ["7.0", "0"]


def test_an_edit_between_import_and_first_call_spoils_no_cache(package: Path) -> None:
    """The process goes on with the text that it imported; the next one has the new text and its result."""
    assert run(package, EDITED) == ["5.0"]
    assert run(package)[:2] == ["7.0", "0"]


def test_a_cached_caller_loads_nothing_that_it_calls(package: Path) -> None:
    code = "from mini.kernels import callee, caller; print(caller.outer(2.0), callee.inner._compiled is None)"
    assert run(package, code) == ["5.0", "False"]
    assert run(package, code) == ["5.0", "True"]


def test_importing_kernels_loads_no_numba_and_a_call_does(package: Path) -> None:
    code = "import sys; from mini.kernels.caller import outer; print('numba' in sys.modules); outer(1.0); {}"
    assert run(package, code.format("print('numba' in sys.modules)")) == ["False", "True"]


def test_without_a_writable_cache_kernels_compile_uncached(package: Path) -> None:
    (package / "mini" / "kernels" / "__pycache__").write_text("a file where numba wants a folder")
    blocked = package / "blocked"
    blocked.write_text("a file where the cache folder would be")
    places = {"HOME": str(blocked), "XDG_CACHE_HOME": str(blocked)}
    assert run(package, **places) == ["5.0", "0", "NullCache"]


def test_uncompiled_kernels_run_as_python(package: Path) -> None:
    code = "from mini.kernels.caller import outer; print(outer(2.0), type(outer.compiled).__name__)"
    assert run(package, code, NUMBA_DISABLE_JIT="1") == ["5.0", "function"]


def test_python_functions_need_no_numba(package: Path) -> None:
    """Kernels called by name or through their module are Python too, and can be replaced."""
    code = (
        "import sys; from mini.core.jit import python; "
        "from mini.kernels.caller import inner, outer, through_module as through; "
        "print(*(python(f)(2.0) for f in (outer, through)), python(outer, {inner: abs})(-2.0), 'numba' in sys.modules)"
    )
    assert run(package, code) == ["5.0", "3.0", "3.0", "False"]


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


def test_threads_that_call_a_kernel_first_at_once(package: Path) -> None:
    """Twelve kernels that call each other, eight threads, each in its own order; every kernel is compiled once."""
    lines = ["from mini.core.jit import jit\n", "@jit('float64(float64)', cache=False)\ndef f0(x):\n    return x\n"]
    for k in range(1, 12):
        lines.append(f"@jit('float64(float64)', cache=False)\ndef f{k}(x):\n    return f{k - 1}(x) + f{k // 2}(x)\n")
    (package / "mini" / "kernels" / "many.py").write_text("\n\n".join(lines))
    code = """
import random, threading
from mini.core import jit
from mini.kernels import many
compiled, original, results = [], jit._dispatcher, [None] * 8
jit._dispatcher = lambda function, options: compiled.append(function.__name__) or original(function, options)
barrier = threading.Barrier(8)

def work(thread):
    order = random.Random(thread).sample(range(12), 12)
    barrier.wait()
    values = {k: getattr(many, f"f{k}")(1.0) for k in order}
    results[thread] = [values[k] for k in range(12)]

threads = [threading.Thread(target=work, args=(thread,)) for thread in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(len(compiled), len(set(compiled)), all(r == results[0] for r in results), results[0][-1])
"""
    values = [1.0]
    for k in range(1, 12):
        values.append(values[k - 1] + values[k // 2])
    assert run(package, code) == ["12", "12", "True", str(values[-1])]


def test_kernels_are_pickled_by_name() -> None:
    assert pickle.loads(pickle.dumps(responses.sign_mixture)) is responses.sign_mixture


def test_kernels_are_handed_to_kernels() -> None:
    """From several threads, compiled and as Python; a kernel that has not run before is compiled on the way."""

    @jit(float64(RESPONSE, VECTOR), cache=False)
    def at_one(response: responses.Response, parameters: np.ndarray) -> float:
        mu, nu = response(1.0, 2.0, parameters)
        return mu + nu

    @jit(responses.SIGNATURE, cache=False)
    def fresh(v: float, c: float, parameters: np.ndarray) -> tuple[float, float]:
        return v * parameters[0], c

    parameters, barrier = np.array([5.0]), Barrier(4)

    def call(kernel: responses.Response) -> float:
        barrier.wait()
        return at_one(kernel, parameters)

    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(call, [fresh] * 4)) == [7.0] * 4
    assert python(at_one)(python(fresh), parameters) == 7.0
    with pytest.raises(TypeError):
        at_one(max, parameters)  # type: ignore[arg-type]


def test_arrays_made_by_kernels_are_given_back() -> None:
    """Kernels that count no references neither keep arrays nor free those of others."""
    from numba.core.runtime import _nrt_python, rtsys

    problem, optimizer = hd.Problem(hd.PowerLaw(50, 0.5), hd.StudentT(4.0, 0.3)), hd.ClippedSGD(0.5, 0.7)

    def work() -> int:
        hd.sweep(problem, optimizer, 5.0, lr=[0.1, 0.5, 0.9])
        limit = limit_of(problem, optimizer)
        arrays, thresholds = prepared(limit, limit.modes, 5.0, 1e-8)
        response = limit.response.compiled(initial_range(limit, limit.modes), thresholds)
        for _ in range(3):
            esdirk.advance(*arrays, response.kernel.address, response.parameters)
        stats = rtsys.get_allocation_stats()
        return int(stats.alloc - stats.free)

    _nrt_python.memsys_enable_stats()
    try:
        work()
        before = work()
        assert work() == before
    finally:
        _nrt_python.memsys_disable_stats()


def test_what_reorders_sums_is_inlined() -> None:
    """As the docstring of jit asks; the twin: one kernel without the option is found."""
    kernels = {id(kernel): kernel for module in _kernel_modules() for kernel in _kernels_of(module)}
    found = [callee for kernel in kernels.values() for callee in _called(kernel) if _reorders(callee, frozenset())]
    assert len(found) > 10
    loose = {repr(kernel) for kernel in found if not _inlined(kernel)}
    assert not loose
    plain = Kernel(esdirk.advance.py_func, esdirk.advance.signature, {"forceinline": False})
    assert _reorders(plain, frozenset()) and not _inlined(plain)


def _kernel_modules() -> list[ModuleType]:
    rooms = hdlimit.kernels, hdlimit.simulation.kernels
    names = [f"{room.__name__}.{module.name}" for room in rooms for module in pkgutil.iter_modules(room.__path__)]
    return [importlib.import_module(name) for name in names]


def _kernels_of(space: ModuleType) -> list[Any]:
    return [value for value in vars(space).values() if isinstance(value, Kernel)]


def _called(kernel: Any) -> list[Any]:
    names, space = kernel.py_func.__code__.co_names, kernel.py_func.__globals__
    values = [space[name] for name in names if name in space]
    values += [getattr(m, name) for m in values if isinstance(m, ModuleType) for name in names if hasattr(m, name)]
    return [value for value in values if isinstance(value, Kernel)]


def _reorders(kernel: Any, seen: frozenset[int]) -> bool:
    if kernel.options.get("fastmath"):
        return True
    seen = seen | {id(kernel)}
    return any(_reorders(callee, seen) for callee in _called(kernel) if id(callee) not in seen)


def _inlined(kernel: Any) -> bool:
    return bool(kernel.options.get("forceinline")) or kernel.options.get("inline") == "always"


BITS = """
import hashlib, warnings
warnings.simplefilter("ignore")
import numpy as np
import hdlimit as hd
from hdlimit.kernels import esdirk
esdirk.advance.compiled
student, full = hd.StudentT(5.0, 0.5), hd.PowerLaw(30, 0.5).rotated(3)
found = []
for optimizer in (hd.SGD(0.5), hd.ClippedSGD(0.5, 0.7), hd.SignSGD(0.3)):
    problem = hd.Problem(hd.PowerLaw(60, 0.5), student)
    found.append(hd.predict(problem, optimizer, 5.0).risk)
    found.append(hd.sweep(problem, optimizer, 5.0, lr=[0.1, 0.2]).risk)
    for batch_size in (1, 3):
        one = optimizer.__class__(**{**vars(optimizer), "batch_size": batch_size})
        for k in (problem, hd.Problem(full, student)):
            found.append(hd.simulate(k, one, 2.0, runs=2, seed=0).risk)
    found.append(hd.sample_sde(problem, optimizer, 2.0, paths=2, seed=0).risk)
blocks = hd.Problem(hd.PowerLaw(60, 0.5).binned(4), student)
found.append(hd.simulate(blocks, hd.ClippedSGD(0.5, 0.7), 2.0, runs=2, seed=0, method="blocks").risk)
print(*(hashlib.md5(np.ascontiguousarray(x).tobytes()).hexdigest()[:6] for x in found))
"""


@pytest.mark.slow
def test_a_process_that_compiles_gets_the_bits_of_one_that_reads(tmp_path: Path) -> None:
    """Which copy of a kernel runs, that of its own or that within its caller, depends on who compiled it: the two are
    optimized differently, and may only differ where sums are reordered.
    """
    here = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    cold, warm = (
        subprocess.run([sys.executable, "-c", BITS], capture_output=True, text=True, check=True, env=here).stdout
        for _ in range(2)
    )
    assert len(cold.split()) > 20 and cold == warm


def test_a_type_called_is_a_signature() -> None:
    assert Type("float64")("int64", "float64[::1]") == "float64(int64, float64[::1])"
    assert RESPONSE == "FunctionType(UniTuple(float64, 2)(float64, float64, float64[::1]))"


LAWS = {
    "identity": ([0.25, 3.0],),
    "clip_mixture": (
        [1.0, 0.0, 0.0],
        [1.0, 0.0, 0.25],
        [0.5, 0.5, -0.4, 0.4, 0.0, 0.0],
        [0.3, 0.7, 9.0, 0.0, 1e-8, 2.0],
    ),
    "sign_mixture": (
        [1.0, 0.0, 0.0],
        [1.0, 0.0, 0.25],
        [0.5, 0.5, -0.4, 0.4, 0.0, 0.0],
        [0.3, 0.7, 9.0, 0.0, 1e-8, 2.0],
    ),
    "clip_laplace": ([0.5], [1e-5], [1e5]),
    "sign_laplace": ([0.5], [1e-5], [1e5]),
    "clip_uniform": ([0.5], [1e-5], [1e5]),
    "sign_uniform": ([0.5], [1e-5], [1e5]),
    "sign_student1": ([0.5], [1e-5], [1e5]),
    "sign_student3": ([0.5], [1e-5], [1e5]),
    "clip_batch_normal": ([0.0, 2.0], [0.25, 4.0], [0.25, 1000.0]),
    "sign_batch_normal": ([0.0, 2.0], [0.25, 4.0], [0.25, 1000.0]),
}


@pytest.mark.parametrize("name", LAWS)
def test_closed_responses_as_python(name: str) -> None:
    """The interpreter and the compiled kernel agree to rounding, at every size of v and c, also where only one can."""
    kernel = memory.clip_mixture if name == "clip_mixture" else getattr(responses, name)
    largest = 1e300 if name == "clip_mixture" else math.inf
    assert isinstance(kernel, Kernel)
    for values in LAWS[name]:
        parameters = np.array(values)
        response = responses.uncompiled(kernel, parameters)
        for v in (0.0, 1e-280, 1e-60, 1e-10, 1e-3, 0.3, 1.0, 7.0, 1e4, 1e30, 1e200, 1e300):
            for c in (0.0, 1e-150, 1e-8, 0.1, 1.0, 10.0, 1e8, 1e60, 1e300, largest):
                np.testing.assert_allclose(response(v, c), kernel(v, c, parameters), rtol=2e-15, atol=0)


def test_where_python_refuses_the_compiled_kernel_answers() -> None:
    """The square of 1e300 raises OverflowError in Python; the twin of the test above."""
    parameters = np.array([0.5])
    with pytest.raises(OverflowError):
        python(responses.clip_laplace)(1e-3, 1e300, [0.5])  # type: ignore[arg-type]
    assert responses.uncompiled(responses.clip_laplace, parameters)(1e-3, 1e300) == (1.0, 0.501)


# ---- what is said of it

QUIET = "import logging; logging.getLogger('hdlimit').setLevel('ERROR'); "
NORM = "import numpy as np; from hdlimit.simulation.kernels.steps import norm, diagonal_form; "
NORM += "x = np.ones(4); print(norm(x), diagonal_form(x, x))"


def test_the_first_compilation_is_said_once_and_can_be_switched_off(tmp_path: Path) -> None:
    """On stderr: not of what is read from the disk, and not where the logger is quiet."""

    def errors(code: str, folder: str) -> str:
        environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / folder)}
        done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
        assert done.stdout == "2.0 4.0\n"
        return done.stderr

    assert errors(NORM, "a") == "hdlimit: compiling, once\n"
    assert errors(NORM, "a") == ""
    assert errors(QUIET + NORM, "b") == ""


def test_a_compilation_ends_with_its_study() -> None:
    """In a thread whose study has ended nothing is compiled to its end, and the kernel is as it was."""
    kernel = jit("float64(float64)", cache=False)(lambda x: x + 1.0)
    flag = np.zeros(1, dtype=np.int64)

    def begin(x: float) -> float:
        flag[0] = 1
        return kernel(x)

    with pytest.raises(Stopped):
        flagged(flag, begin, 1.0)
    assert not kernel.ready and kernel(1.0) == 2.0 and kernel.ready
