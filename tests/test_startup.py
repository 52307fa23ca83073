"""What a fresh process loads: nothing that the task at hand does not need."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

HEAVY = "numpy", "scipy", "numba", "llvmlite", "matplotlib", "sympy", "click", "msgspec", "tqdm"
PROBLEM = "import hdlimit as hd; P = hd.Problem(hd.PowerLaw(2000, 0.5), hd.Gaussian(0.5)); "


def loaded(code: str, among: tuple[str, ...] = HEAVY) -> list[str]:
    """The modules among those named that a fresh interpreter has loaded after the code."""
    code += f"\nimport json, sys; print(json.dumps([m for m in {among!r} if m in sys.modules]))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    result: list[str] = json.loads(done.stdout.splitlines()[-1])
    return result


@pytest.mark.parametrize(
    "module",
    [
        *("kernels.formulas", "kernels.responses", "kernels.special", "kernels.residual_law"),
        *("kernels.laplace_transform", "simulation.kernels.steps", "simulation.kernels.eigenspaces"),
    ],
)
def test_kernel_modules_load_no_compiler(module: str) -> None:
    assert set(loaded(f"import hdlimit.{module}")) <= {"numpy"}


@pytest.mark.parametrize("optimizer", ["SGD(0.5)", "ClippedSGD(0.5, 0.9)", "SignSGD(0.5)", "SGD(0.5, batch_size=4)"])
def test_limit_and_stability_need_numpy_alone(optimizer: str) -> None:
    """The mode system, (mu, nu) at the start, the critical step size."""
    code = f"{PROBLEM} from hdlimit.limit.system import limit_of; o = hd.{optimizer}; limit = limit_of(P, o); "
    assert loaded(f"{code} limit.response(0.3, 0.9); hd.stability(P, o)") == ["numpy"]


@pytest.mark.parametrize("noise", ["Laplace(0.5)", "Uniform(0.5)", "Rademacher(0.5)", "NoNoise()"])
def test_closed_responses_need_no_compiler(noise: str) -> None:
    code = "import hdlimit as hd; from hdlimit.response.response import MapResponse; "
    code += f"[MapResponse(f, hd.{noise})(0.3, 0.9) for f in ('identity', 'clip', 'sign')]"
    assert set(loaded(code)) <= {"numpy", "scipy"}


def test_a_prediction_loads_no_special_functions() -> None:
    """SciPy's are for the few noise laws whose closed forms have them; optimizers and statistics for other calls."""
    code = f"{PROBLEM} hd.predict(P, hd.ClippedSGD(0.5, 0.9), 20.0)"
    assert loaded(code, ("scipy.special.cython_special", "scipy.optimize", "scipy.stats", "matplotlib")) == []


def test_special_functions_are_found_by_cached_kernels() -> None:
    """A kernel read from the disk cache names SciPy's functions, which must be known by then: twice the same."""
    code = (
        "import numpy as np; from hdlimit.kernels import responses as r; "
        "print(*r.clip_laplace(0.3, 0.9, np.array([0.5])), *r.clip_batch_normal(0.3, 0.9, np.array([0.25, 4.0])))"
    )
    runs = [subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True) for _ in range(2)]
    assert runs[0].stdout == runs[1].stdout and len(runs[0].stdout.split()) == 4
