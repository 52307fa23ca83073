"""The declaration of momentum: what it refuses, its units, files, and the verbs that do not answer for it."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hdlimit as hd
from hdlimit.errors import HdlimitError, InvalidInput, NotAvailable

pytestmark = pytest.mark.filterwarnings("ignore::hdlimit.errors.HdlimitWarning")
PROBLEM = hd.Problem(hd.PowerLaw(40, 0.5), hd.Gaussian(0.5))
HEAVY, CLIPPED = hd.SGD(0.05, momentum=0.9), hd.ClippedSGD(0.05, 0.8, momentum=0.9)


@pytest.mark.parametrize("kind", [hd.SGD, lambda lr, **kept: hd.ClippedSGD(lr, 1.0, **kept)], ids=["sgd", "clipped"])
@pytest.mark.parametrize(
    ("kept", "message"),
    [
        ({"momentum": 1.0}, "momentum: expected a number >= 0 and below 1, got 1.0"),
        ({"momentum": -0.1}, "momentum: expected a number >= 0 and below 1, got -0.1"),
        ({"momentum": math.nan}, "momentum: expected a number >= 0 and below 1, got nan"),
        ({"momentum": "0.9"}, "momentum: expected a number >= 0 and below 1, got '0.9'"),
        ({"momentum": None}, "momentum: expected a number >= 0 and below 1, got None"),
        ({"momentum": True}, "momentum: expected a number >= 0 and below 1, got True"),
        ({"momentum": [0.9]}, "momentum: expected a number >= 0 and below 1, got list [0.9]"),
        ({"momentum": 0.9, "dampening": 1.0}, "dampening: expected a number >= 0 and below 1, got 1.0"),
        ({"momentum": 0.9, "dampening": -1}, "dampening: expected a number >= 0 and below 1, got -1"),
        ({"nesterov": True}, "nesterov: expected True with momentum > 0 and without dampening only, as in PyTorch"),
        ({"momentum": 0.9, "dampening": 0.1, "nesterov": True}, "got it with momentum 0.9 and dampening 0.1"),
        ({"momentum": 0.9, "nesterov": 1}, "nesterov: expected True or False, got 1"),
    ],
)
def test_what_is_no_momentum(kind: Callable[..., Any], kept: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        kind(0.1, **kept)
    assert message in str(caught.value) and len(str(caught.value)) < 400


def test_effective_lr() -> None:
    """What one gradient adds to all later steps: lr (1 - dampening)(1 + beta + beta^2 + ...)."""
    for kept in ({"momentum": 0.9}, {"momentum": 0.9, "dampening": 0.4}, {"momentum": 0.8, "nesterov": True}):
        beta, added = kept["momentum"], 1 - kept.get("dampening", 0.0)
        buffers = added * beta ** np.arange(2000)
        steps = np.where(np.arange(2000) == 0, 1.0, 0.0) + beta * buffers if "nesterov" in kept else buffers
        total = 0.3 * steps.sum()
        assert hd.SGD(0.3, **kept).effective_lr == pytest.approx(total, rel=1e-12)  # type: ignore[arg-type]
    assert hd.SGD(0.3).effective_lr == 0.3
    with pytest.raises(InvalidInput, match="lr: expected a constant lr"):
        hd.SGD(hd.schedules.Power(0.3, 0.5, 1.0), momentum=0.9).effective_lr  # noqa: B018


def test_a_trainers_step_is_lr_over_d_with_momentum_too() -> None:
    d = PROBLEM.dimension
    for loss, factor in (("half_squared", 1.0), ("squared", 2.0)):
        made = hd.SGD.from_step_size(0.01, PROBLEM, loss=loss, momentum=0.9, nesterov=True)  # type: ignore[arg-type]
        assert (made.momentum, made.nesterov) == (0.9, True) and made.lr == pytest.approx(0.01 * d * factor)
        assert made.step_size(PROBLEM, loss=loss) == pytest.approx(0.01)  # type: ignore[arg-type]
        clipped = hd.ClippedSGD.from_max_norm(0.1, 2.0, PROBLEM, loss=loss, momentum=0.9, dampening=0.5)  # type: ignore[arg-type]
        assert (clipped.momentum, clipped.dampening) == (0.9, 0.5)
        assert clipped.max_norm(PROBLEM, loss=loss) == pytest.approx(2.0)  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="beta: expected an argument of ClippedSGD"):
        hd.ClippedSGD.from_max_norm(0.1, 2.0, PROBLEM, loss="squared", beta=0.9)


@pytest.mark.parametrize("optimizer", [HEAVY, hd.ClippedSGD(0.05, 0.8, 4, 0.9, 0.3), hd.SGD(0.1, 2, 0.9, 0.0, True)])
def test_files_keep_it(optimizer: Any, tmp_path: Path) -> None:
    (tmp_path / "problem.toml").write_text(hd.to_toml(PROBLEM, optimizer, 5.0))
    assert hd.read_toml(tmp_path / "problem.toml").optimizer == optimizer
    hd.predict(PROBLEM, optimizer, 5.0).save(tmp_path / "curve.npz")
    assert hd.load(tmp_path / "curve.npz").optimizer == optimizer
    assert eval(repr(optimizer), vars(hd).copy() | {"SGD": hd.SGD, "ClippedSGD": hd.ClippedSGD}) == optimizer
    assert optimizer != hd.SGD(0.05) and hash(HEAVY) != hash(hd.SGD(0.05))


def test_files_without_it_are_read_as_before(tmp_path: Path) -> None:
    text = hd.to_toml(PROBLEM, hd.SGD(0.5), 5.0)
    kept = [line for line in text.splitlines() if line.split(" ")[0] not in ("momentum", "dampening", "nesterov")]
    (tmp_path / "problem.toml").write_text("\n".join(kept))
    assert hd.read_toml(tmp_path / "problem.toml").optimizer == hd.SGD(0.5)


def curve(optimizer: Any) -> Any:
    return hd.predict(PROBLEM, optimizer, 2.0)


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda: hd.sample_sde(PROBLEM, HEAVY, 1.0), NotAvailable, "sample_sde: not with momentum"),
        (lambda: hd.sample_sde(PROBLEM, HEAVY, 1.0, diffusion="corrected"), NotAvailable, "not with momentum"),
        (lambda: hd.tuning.greedy_lr(PROBLEM, HEAVY, 1.0), NotAvailable, "greedy_lr: with momentum .* tune_lr has"),
        (lambda: hd.tuning.greedy_lr(PROBLEM, CLIPPED, 1.0), NotAvailable, "greedy_lr: with momentum .* tune_lr has"),
        (
            lambda: hd.tune_clip(PROBLEM, 2.0, schedule=True, momentum=0.9),
            InvalidInput,
            "schedule: expected False with",
        ),
        (lambda: hd.exact_mean(PROBLEM, CLIPPED, 10), NotAvailable, "exact_mean: the mean of ClippedSGD"),
        (lambda: hd.simulate(PROBLEM, HEAVY, 1.0, 2, method="blocks"), InvalidInput, "'direct' with momentum"),
        (lambda: hd.tune_lr(PROBLEM, hd.SGD(0.1, momentum=0.9), 1e-9), InvalidInput, "horizon"),
    ],
)
def test_what_is_not_answered_says_so(call: Callable[[], Any], kind: type[HdlimitError], message: str) -> None:
    with pytest.raises(kind, match=message) as caught:
        call()
    assert len(str(caught.value)) < 400


def test_figures_and_files_have_the_spread(tmp_path: Path) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    assert curve(HEAVY).plot() is not None and hd.plot([curve(HEAVY), curve(hd.SGD(0.5))]) is not None
    curve(HEAVY).save(tmp_path / "curve.csv")
    assert "spread" in (tmp_path / "curve.csv").read_text()


def test_caveats_and_units_read_the_effective_step() -> None:
    """An lr of 0.19 with momentum 0.9 is as near to critical as 1.9, and one of 0.0001 as small as 0.001."""
    problem = hd.Problem(hd.Isotropic(30), hd.Gaussian(0.5))
    with pytest.warns(hd.errors.NearCriticalWarning, match=r"the effective lr 1.9 is large for d = 30") as caught:
        hd.predict(problem, hd.SGD(0.19, momentum=0.9), 5.0)
    told = float(str(caught[0].message).split("settle at ")[1].split(" times")[0])
    at_rest = hd.exact_mean(problem, hd.SGD(0.19, momentum=0.9), [60_000]).risk[-1]
    limit = hd.steady_state(problem, hd.SGD(0.19, momentum=0.9)).risk
    assert told == pytest.approx(at_rest / limit, rel=1e-2)
    large = hd.Problem(hd.Isotropic(1000), hd.Gaussian(0.5))
    with pytest.warns(hd.errors.UnitsWarning, match="lr = 0.0001 leaves"):
        hd.predict(large, hd.SGD(0.0001, momentum=0.9), 5.0)
