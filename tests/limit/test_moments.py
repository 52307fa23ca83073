"""The moment system: what it says about itself, against its arrays, and one member a file."""

from __future__ import annotations

import numpy as np
import pytest

import hdlimit as hd
from hdlimit.limit.dynamics import identity, momentum, sign
from hdlimit.limit.feature_maps import FEATURES
from hdlimit.limit.integrator import solve
from hdlimit.limit.moments import MomentSystem
from hdlimit.limit.system import MEMBERS, limit_of

SYSTEM = MomentSystem(
    rate=np.array([0.0, 1.0, 3.0]),
    diffusion=np.array([5.0, 0.5, 0.25]),
    start=np.array([7.0, 2.0, 4.0]),
    functionals=np.array([[0.0, 1.0, 3.0], [1.0, 1.0, 1.0]]),
)


def test_what_a_system_says_about_itself() -> None:
    assert (SYSTEM.size, SYSTEM.v, SYSTEM.v_noise, SYSTEM.forcing, SYSTEM.fastest) == (3, 14.0, 1.25, 0.75, 3.0)
    assert SYSTEM.values.tolist() == [14.0, 13.0] and SYSTEM.noise.tolist() == [1.25, 5.75]
    assert SYSTEM.moved and not MomentSystem(SYSTEM.rate, SYSTEM.diffusion, np.eye(3)[0], SYSTEM.functionals).moved


def test_v_alone_is_the_same_curve() -> None:
    limit = limit_of(hd.Problem(hd.PowerLaw(40, 0.5), hd.Gaussian(0.3)), hd.SGD(0.5))
    alone = limit.modes.of_v
    assert alone.functionals.shape == (1, 40) and alone.v == limit.modes.v
    times = np.linspace(0.0, 5.0, 20)
    one, all_three = (solve(limit, modes, 5.0, 1e-8).dense(times, 0) for modes in (alone, limit.modes))
    np.testing.assert_allclose(one, all_three, rtol=1e-7)


@pytest.mark.parametrize(
    ("optimizer", "member"),
    [
        (hd.SGD(0.5), identity),
        (hd.ClippedSGD(0.5, 0.7), identity),
        (hd.ClippedSGD(0.5, 0.7, momentum=0.9), momentum),
        (hd.SignSGD(0.5), sign),
    ],
)
def test_every_member_has_its_file(optimizer: hd.SGD, member: object) -> None:
    """And every feature map a member."""
    assert set(MEMBERS) == {*FEATURES, "momentum"} and MEMBERS[optimizer.dynamics] is vars(member)["moments"]
