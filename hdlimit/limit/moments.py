"""The moment system: what is integrated.

The family's members (momentum, averages, ridge, ...) give every mode i a vector X_i of p numbers, driven by one
component of the stochastic gradient. With S_i = E X_i X_i^T, a block of s = p (p + 1)/2 numbers,

    dS_i/dt = A_i S_i + S_i A_i^T + w w^T nu(v) c_i/d,   A_i = M + mu(v) lambda_i w e_1^T,   v = sum_i lambda_i S_11,i

where M and w are the same for all modes. Most members have p = 1: M = 0, w = -eta, S_i = m_i = E w_i^2.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from hdlimit.core.declaration import FloatArray


@dataclass(frozen=True, eq=False)
class MomentSystem:
    """n blocks of s moments, s = 1: dm_i/dt = -2 eta mu rate_i m_i + eta^2 nu diffusion_i, or s = 3 with a block.

    Blocks of three numbers stand number by number: S_11 of all modes, then S_12, then S_22.

    Parameters
    ----------
    rate : array, shape (n,)
        lambda_i >= 0.
    diffusion : array, shape (n,)
        Noise weights c_i/d; the functional that drives them is v.
    start : array, shape (n s,)
        Moments at t = 0.
    functionals : array, shape (k, n s)
        Weights of what is read off: first those of v, then (k = 3) those of norm(delta)^2 and norm(K delta)^2 where
        these are linear in the moments.
    block : array, shape (2, 6), optional
        For modes of two numbers: M_11, M_12, M_21, M_22, w_1, w_2 are block[0] + lr block[1]. None for p = 1.
    """

    rate: FloatArray
    diffusion: FloatArray
    start: FloatArray
    functionals: FloatArray
    block: FloatArray | None = None

    @property
    def size(self) -> int:
        """The number n of modes."""
        return self.rate.size

    @cached_property
    def v(self) -> float:
        """Return v at the start."""
        return float(self.functionals[0] @ self.start)

    @cached_property
    def v_noise(self) -> float:
        """What noise adds to v, per time and eta^2 nu."""
        return float(self.functionals[0, : self.size] @ self.diffusion)

    @property
    def values(self) -> FloatArray:
        """The functionals at the start, shape (k,)."""
        values: FloatArray = self.functionals @ self.start
        return values

    @property
    def noise(self) -> FloatArray:
        """What noise adds to the functionals, per time and eta^2 nu, shape (k,)."""
        noise: FloatArray = self.functionals[:, : self.size] @ self.diffusion
        return noise

    @property
    def forcing(self) -> float:
        """Return cbar = (1/d) sum of c_i over lambda_i > 0: a steady state solves 4 R mu(2R) = eta nu(2R) cbar."""
        return float(self.diffusion[self.rate > 0].sum())

    @cached_property
    def fastest(self) -> float:
        """The largest rate."""
        return float(self.rate.max())

    @property
    def moved(self) -> bool:
        """Whether a mode of positive rate is off 0 at the start."""
        return bool(self.start[: self.size][self.rate > 0].any())

    @property
    def of_v(self) -> MomentSystem:
        """The same moments with v as the only functional."""
        return replace(self, functionals=np.ascontiguousarray(self.functionals[:1]))
