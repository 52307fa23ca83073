"""A trainer's step and the optimizer's lr: one step of a plain trainer, written here from its loss, against the other.

Expected steps come from the gradient of the loss, r x for r^2/2 and 2 r x for r^2, not from the package.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from cases import OPTIMIZERS, name_of

import hdlimit as hd
from hdlimit.optimizers.base import Optimizer
from hdlimit.optimizers.schedules import Constant

D, EXPONENT = 30, 0.4
PROBLEM = hd.Problem(hd.PowerLaw(D, EXPONENT), hd.Gaussian(0.5))
OF_LOSS = {"half_squared": 1.0, "squared": 2.0}
# What a trainer makes of the mean gradient of its loss; clipping has its own limit in the units of the gradient.
TRAINERS = {
    "gradient": lambda g, limit: g,
    "clipped-gradient": lambda g, limit: g * min(1.0, limit / np.linalg.norm(g)),
    "signed-gradient": lambda g, limit: np.sign(g),
    "signed-features": lambda g, limit: g,
}
CASES = [
    optimizer
    for optimizer in OPTIMIZERS
    if isinstance(optimizer.lr_schedule, Constant) and isinstance(optimizer.control_schedule, Constant)
]


def moved(optimizer: Optimizer, loss: str) -> Any:
    """The step that a trainer with this loss takes: its own gradient, its own rule, the package's numbers."""
    rng = np.random.default_rng(3)
    batch = optimizer.batch_size
    x, r = rng.standard_normal((batch, D)), 2 * rng.standard_normal(batch)
    table = getattr(optimizer, "residual_table", None)
    # a trainer of a residual map has the map in the place of the loss's derivative
    pull = OF_LOSS[loss] * r if table is None else table(r, float(optimizer.control_schedule(0.0)))
    limit = optimizer.max_norm(PROBLEM, loss=loss) if isinstance(optimizer, hd.ClippedSGD) else math.inf
    followed = np.sign(x) if optimizer.update == "signed-features" else x
    return optimizer.step_size(PROBLEM, loss=loss) * TRAINERS[optimizer.update](pull @ followed / batch, limit)


@pytest.mark.parametrize("optimizer", CASES, ids=name_of)
def test_both_losses_take_the_same_step(optimizer: Optimizer) -> None:
    half, whole = moved(optimizer, "half_squared"), moved(optimizer, "squared")
    assert np.linalg.norm(half) > 0
    np.testing.assert_allclose(whole, half, rtol=1e-12)


@pytest.mark.parametrize("optimizer", CASES, ids=name_of)
@pytest.mark.parametrize("loss", OF_LOSS)
def test_from_step_size_inverts_step_size(optimizer: Optimizer, loss: str) -> None:
    others = {name: value for name, value in optimizer.to_plain().items() if name != "lr"}
    step = optimizer.step_size(PROBLEM, loss=loss)
    back = type(optimizer).from_step_size(step, PROBLEM, loss=loss, **others)
    assert back.lr == pytest.approx(optimizer.lr, rel=1e-15)


def trained(step: float, seed: int, runs: int, steps: int) -> tuple[float, float]:
    """Mean risk and its standard error of signed steps on r^2, by a loop over steps without the package."""
    rng = np.random.default_rng(seed)
    scale = np.sqrt(np.arange(1.0, D + 1) ** -EXPONENT)
    scale *= math.sqrt(D / float((scale**2).sum()))
    delta = np.full((runs, D), -(D**-0.5))
    for _ in range(steps):
        x = scale * rng.standard_normal((runs, D))
        r = np.einsum("ij,ij->i", x, delta) - 0.5 * rng.standard_normal(runs)
        delta -= step * np.sign(2 * r[:, None] * x)
    risk = (delta**2 @ scale**2) / 2
    return float(risk.mean()), float(risk.std() / math.sqrt(runs))


def test_a_plain_trainer_of_the_squared_loss() -> None:
    """4 standard errors of the difference of two means (false alarms: 6e-5); twice the lr, the twin, is outside 8."""
    step, steps = 0.012, 3 * D
    mean, error = trained(step, seed=5, runs=400, steps=steps)
    own = hd.SignSGD.from_step_size(step, PROBLEM, loss="squared")
    twice = hd.SignSGD(lr=2 * own.lr)
    risk = [hd.simulate(PROBLEM, each, horizon=3.0, runs=400, seed=1).mean[-1] for each in (own, twice)]
    assert abs(risk[0] - mean) < 4 * math.sqrt(2) * error
    assert abs(risk[1] - mean) > 8 * error
