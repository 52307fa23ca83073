"""The integrator in NumPy: the compiled one's text, its results, and the change from one to the other."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from cases import name_of
from harness import LIMITS as CASES

import hdlimit as hd
from hdlimit.kernels import esdirk
from hdlimit.limit import numpy_sweeps
from hdlimit.limit.integrator import initial_range, prepared
from hdlimit.limit.interpolant import DenseOutput
from hdlimit.limit.system import limit_of
from hdlimit.optimizers.base import Optimizer


@pytest.mark.parametrize(("problem", "optimizer"), CASES, ids=name_of)
def test_both_routes_take_the_same_steps(problem: hd.Problem, optimizer: Optimizer) -> None:
    """And have the same curve to 1e-9: rounding errors move the steps a little. The twin: mu 1e-6 off."""
    limit = limit_of(problem, optimizer)
    arrays, thresholds = prepared(limit, limit.modes, 12.0, 1e-6)
    response = limit.response.compiled(initial_range(limit, limit.modes), thresholds)
    kernel, parameters = response.kernel, response.parameters
    with np.errstate(all="ignore"):
        found = numpy_sweeps.twin(esdirk.advance)(*arrays, numpy_sweeps.twin(kernel), parameters.copy())
        planted = numpy_sweeps.twin(esdirk.advance)(
            *arrays, lambda *a: (kernel(*a)[0] * (1 + 1e-6), kernel(*a)[1]), parameters
        )
    compiled = esdirk.advance(*arrays, kernel.address, parameters)
    assert found[0] == compiled[0] and found[3].size == compiled[3].size
    times = np.geomspace(0.01, min(found[3][-1], compiled[3][-1], planted[3][-1]), 300)
    for k in range(limit.modes.functionals.shape[0]):
        one, other, wrong = (DenseOutput(*result[3:])(times, k) for result in (found, compiled, planted))
        np.testing.assert_allclose(one, other, rtol=1e-9)
        assert np.abs(wrong / other - 1).max() > 1e-8


FRESH = """
import sys, warnings
warnings.simplefilter("ignore")
import hdlimit as hd
from hdlimit.limit import numpy_sweeps as plain
problem, rates = hd.Problem(hd.PowerLaw(200, 0.5), hd.Gaussian(0.3)), [0.5, 0.4, 0.3, 0.2] * 8
loaded = []
for lr in rates:
    hd.predict(problem, hd.SignSGD(lr), 20.0)
    loaded.append("numba" in sys.modules)
print(loaded[0], loaded[-1], loaded == sorted(loaded))
{more}
"""


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ("", "False True True"),
        (
            "print(hd.predict(problem, hd.SignSGD(hd.schedules.Steps([1.0], [0.5, 0.1])), 1e6).outcome)",
            "finished at t = 1e+06",
        ),
    ],
    ids=["few", "long"],
)
def test_a_process_begins_without_numba_and_loads_it_for_more(more: str, expected: str) -> None:
    run = subprocess.run([sys.executable, "-c", FRESH.format(more=more)], capture_output=True, text=True, check=True)
    assert run.stdout.strip().splitlines()[-1] == expected


def test_what_is_remembered_is_of_one_route(monkeypatch: pytest.MonkeyPatch) -> None:
    """NumPy leaves parameters into which the compiled response writes as they are, and reads nothing that it wrote."""
    problem = hd.Problem(hd.PowerLaw(50, 0.5), hd.StudentT(4.321, 0.3))
    limit = limit_of(problem, hd.ClippedSGD(0.5, 0.7))
    arrays, thresholds = prepared(limit, limit.modes, 3.0, 1e-6)
    response = limit.response.compiled(initial_range(limit, limit.modes), thresholds)
    before = response.parameters.copy()

    def in_numpy() -> tuple[np.ndarray, ...]:
        with monkeypatch.context() as patch:
            patch.setattr(numpy_sweeps, "_steps", [0])
            patch.setattr(type(esdirk.advance), "deferred", True)
            found: tuple[np.ndarray, ...] = numpy_sweeps.advance(arrays, None, response.kernel, response.parameters)
            return found

    first = in_numpy()
    assert np.array_equal(response.parameters, before, equal_nan=True)
    esdirk.advance(*arrays, response.kernel.address, response.parameters)
    assert not np.array_equal(response.parameters, before, equal_nan=True)
    for one, other in zip(first[3:], in_numpy()[3:]):
        np.testing.assert_array_equal(one, other)


def test_what_python_cannot_do_is_left_to_the_compiled_integrator(monkeypatch: pytest.MonkeyPatch) -> None:
    """A number beyond the range of Python's, and more steps than NumPy is for: the same result as ever."""
    limit = limit_of(*CASES[0])
    arrays, thresholds = prepared(limit, limit.modes, 12.0, 1e-6)
    response = limit.response.compiled(initial_range(limit, limit.modes), thresholds)
    expected = esdirk.advance(*arrays, response.kernel.address, response.parameters)

    def raises(*_: object) -> None:
        raise OverflowError

    for replaced in ({"twin": lambda kernel: raises}, {"ENOUGH_STEPS": 3}):
        with monkeypatch.context() as patch:
            patch.setattr(numpy_sweeps, "_steps", [0])
            patch.setattr(type(esdirk.advance), "deferred", True)
            for name, value in replaced.items():
                patch.setattr(numpy_sweeps, name, value)
            found = numpy_sweeps.advance(arrays, None, response.kernel, response.parameters)
            assert numpy_sweeps._steps[0] >= numpy_sweeps.ENOUGH_STEPS
        np.testing.assert_array_equal(found[4], expected[4])
