"""The agreement matrix: predicted curves against runs of the real algorithm, law by map by covariance by batch size.

Every cell is one verification with false_alarm = 1e-4, so that the whole matrix raises a false alarm at a rate of at
most 1 %. The default run takes the cells with batch size 1 at d = 256; batch size 4 and d = 1024 (512 for sign
features on full covariances) are behind the `slow` marker.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from cases import name_of
from harness import Planted

import hdlimit as hd
from hdlimit.limit import system

FALSE_ALARM = 1e-4
RUNS = 32
HORIZON = 8.0
CELLS = [
    (name, noise)
    for name, heavy in (("sgd", hd.StudentT(5, 0.4)), ("clip", hd.StudentT(1.5, 0.4)), ("sign", hd.StudentT(1.5, 0.4)))
    for noise in (hd.Gaussian(0.4), heavy, hd.Laplace(0.4), hd.Rademacher(0.4))
]


def optimizer(name: str, batch: int) -> Any:
    if name == "sgd":
        return hd.SGD(0.5, batch_size=batch)
    return hd.ClippedSGD(0.5, 0.5, batch_size=batch) if name == "clip" else hd.SignSGD(0.25, batch_size=batch)


def covariance(kind: str, d: int) -> Any:
    if kind == "diagonal":
        return hd.PowerLaw(d, 0.3)
    if kind == "wishart":
        return hd.Wishart(d, 0.25, row_scales=np.geomspace(0.5, 2.0, d), seed=1)
    if kind == "singular":
        return hd.Wishart(d, 2.0, seed=1)
    return hd.PowerLaw(d, 0.5).rotated(1)


def check(kind: str, name: str, noise: Any, batch: int, d: int) -> None:
    problem = hd.Problem(covariance(kind, d), noise)
    report = hd.verify(problem, optimizer(name, batch), HORIZON, runs=RUNS, false_alarm=FALSE_ALARM)
    print(
        f"{kind:<9}{name:<5}{noise!r:<28}B={batch} d={d} {report.verdict:<13} "
        f"z {report.z_max:.2f}/{report.critical:.2f} "
        f"worst {np.abs(report.relative_error).max():.2%} allowance {(report.allowance / report.predicted).max():.2%} "
        f"detectable {report.detectable:.2%}"
    )
    assert report.verdict == "consistent", report.summary()


@pytest.mark.parametrize("kind", ["diagonal", "wishart", "rotated"])
@pytest.mark.parametrize(("name", "noise"), CELLS, ids=str)
def test_matrix(kind: str, name: str, noise: Any) -> None:
    check(kind, name, noise, 1, 256)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["diagonal", "wishart", "rotated"])
@pytest.mark.parametrize(("name", "noise"), CELLS, ids=str)
def test_matrix_with_batches(kind: str, name: str, noise: Any) -> None:
    check(kind, name, noise, 4, 512)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["diagonal", "wishart", "rotated"])
@pytest.mark.parametrize(("name", "noise"), CELLS, ids=str)
def test_matrix_in_higher_dimension(kind: str, name: str, noise: Any) -> None:
    check(kind, name, noise, 1, 512 if name == "sign" and kind != "diagonal" else 1024)


@pytest.mark.parametrize("noise", [hd.Gaussian(0.4), hd.StudentT(1.5, 0.4)], ids=name_of)
def test_sign_with_a_singular_covariance(noise: Any) -> None:
    check("singular", "sign", noise, 1, 256)


@pytest.mark.parametrize(
    ("kind", "name"), [("wishart", "sgd"), ("wishart", "clip"), ("wishart", "sign"), ("rotated", "sign")]
)
def test_a_planted_error_is_rejected(monkeypatch: pytest.MonkeyPatch, kind: str, name: str) -> None:
    """The matrix can fail: mu 5 % wrong is rejected on its covariances, with little noise so that the whole decay is
    seen.
    """
    monkeypatch.setattr(system, "MapResponse", Planted)
    problem = hd.Problem(covariance(kind, 256), hd.Gaussian(0.1))
    report = hd.verify(problem, optimizer(name, 1), 2 * HORIZON, runs=2 * RUNS, false_alarm=FALSE_ALARM)
    print(f"planted: {kind} {name} z {report.z_max:.2f}/{report.critical:.2f}")
    assert report.z_max > report.critical
