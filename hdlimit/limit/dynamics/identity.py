"""Optimizers that follow the gradient, whatever they do to the residual: one moment a mode, identity features."""

from __future__ import annotations

from hdlimit.limit.compression import compressed
from hdlimit.limit.moments import MomentSystem
from hdlimit.optimizers.base import Optimizer
from hdlimit.problem.least_squares import LeastSquares
from hdlimit.problem.spectral_measure import Compression


def moments(
    problem: LeastSquares, optimizer: Optimizer, compress: bool | float
) -> tuple[MomentSystem, Compression | None]:
    """Return the moment system of an optimizer that follows x itself, and what was done to the spectrum.

    Parameters
    ----------
    problem : Problem
        The problem.
    optimizer : Optimizer
        One with identity features.
    compress : bool or float
        As hdlimit.limit.compression.compressed has it.

    Returns
    -------
    tuple of MomentSystem and Compression or None
        With v, norm(delta)^2 and norm(K delta)^2 as functionals.
    """
    return compressed(problem, optimizer.features, compress)
