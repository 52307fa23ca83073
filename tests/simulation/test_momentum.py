"""The simulator's buffers, step by step on the same gradients: the rule written out, and torch.optim.SGD."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import hdlimit as hd
from hdlimit.simulation.kernels import steps as stream

D, STEPS = 7, 60
RULES: list[dict[str, Any]] = [
    {},
    {"momentum": 0.9},
    {"momentum": 0.9, "dampening": 0.9},
    {"momentum": 0.5, "dampening": 0.2},
    {"momentum": 0.8, "nesterov": True},
]


def gradients() -> np.ndarray:
    drawn: np.ndarray = np.random.default_rng(4).standard_normal((STEPS, D)) * np.geomspace(0.1, 10, STEPS)[:, None]
    return drawn


def kernel_path(lr: float, longest: float, rule: dict[str, Any]) -> np.ndarray:
    """The states after each step of the simulator's kernel."""
    memory = np.empty(0)
    if rule:
        head = [rule["momentum"], 1 - rule.get("dampening", 0.0), float(rule.get("nesterov", False)), 0.0]
        memory = np.concatenate([head, np.zeros(D)])
    number = stream.CLIPPED_GRADIENT if longest < math.inf else stream.GRADIENT
    state, found = np.ones(D), []
    for g in gradients():
        clipped = stream.apply_update(number, state, g.copy(), lr, longest, memory)
        assert clipped == (np.linalg.norm(g) > longest)
        found.append(state.copy())
    return np.array(found)


@pytest.mark.parametrize("rule", RULES, ids=str)
@pytest.mark.parametrize("longest", [math.inf, 3.0])
def test_steps_are_pytorchs_rule(rule: dict[str, Any], longest: float) -> None:
    """buf = g at first, then beta buf + (1 - dampening) g; the step follows buf, with nesterov g + beta buf."""
    beta, dampening = rule.get("momentum", 0.0), rule.get("dampening", 0.0)
    theta, buffer, expected = np.ones(D), None, []
    for g in gradients():
        g = g * min(1.0, longest / np.linalg.norm(g))
        buffer = g if buffer is None else beta * buffer + (1 - dampening) * g
        theta = theta - 0.01 * (g if beta == 0 else g + beta * buffer if rule.get("nesterov") else buffer)
        expected.append(theta)
    np.testing.assert_allclose(kernel_path(0.01, longest, rule), expected, rtol=1e-13)


@pytest.mark.parametrize("rule", RULES, ids=str)
@pytest.mark.parametrize("longest", [math.inf, 3.0])
def test_steps_are_those_of_torch(rule: dict[str, Any], longest: float) -> None:
    torch = pytest.importorskip("torch")
    theta = torch.ones(D, dtype=torch.float64, requires_grad=True)
    trainer, expected = torch.optim.SGD([theta], lr=0.01, **rule), []
    for g in gradients():
        theta.grad = torch.tensor(g)
        if longest < math.inf:
            torch.nn.utils.clip_grad_norm_([theta], longest)
        trainer.step()
        expected.append(theta.detach().numpy().copy())
    np.testing.assert_allclose(kernel_path(0.01, longest, rule), expected, rtol=1e-6, atol=1e-6)


def test_a_trainer_gets_the_raw_step() -> None:
    """A run of the simulator is the trainer's loop with `step_size` and the same momentum, on its own gradients."""
    problem = hd.Problem(hd.Isotropic(20), hd.NoNoise())
    optimizer = hd.SGD.from_step_size(0.004, problem, loss="squared", momentum=0.9)
    assert optimizer.lr == pytest.approx(0.16) and optimizer.effective_lr == pytest.approx(1.6)
    child = np.random.SeedSequence(0, spawn_key=(0,)).spawn(2)[0]
    rows = np.random.Generator(np.random.SFC64(child)).standard_normal((40, 20))
    delta, buffer = np.full(20, -(20**-0.5)), np.zeros(20)
    for x in rows:
        buffer = 0.9 * buffer + 2 * (x @ delta) * x  # the gradient of r^2
        delta = delta - 0.004 * buffer
    found = hd.simulate(problem, optimizer, 2.0, 1, seed=0, times=[2.0]).risk[0, -1]
    assert found == pytest.approx(delta @ delta / 2, rel=1e-10)
