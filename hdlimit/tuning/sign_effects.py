"""The four effects of signSGD against SGD, as numbers: the two limits compared term by term.

Drift of theta, and diffusion (the matrix of its noise), at excess risk R = v/2:

              drift                                diffusion
    SGD       -eta K delta                         eta^2 (v + E eps^2)/(B d) K
    signSGD   -eta_e f S^-1 K delta                eta^2/d K_g

with eta_e = sqrt(2/pi) mu_0(v) eta, mu_0 the response without noise; f = mu(v)/mu_0(v); S = diag(sqrt K_ii);
K_g = (2/pi) arcsin(K_ij/sqrt(K_ii K_jj)).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from hdlimit.core import checks
from hdlimit.core.declaration import FloatArray, known_names
from hdlimit.errors import InvalidInput
from hdlimit.limit.modes import basis
from hdlimit.problem.covariance import CovarianceModel
from hdlimit.problem.least_squares import checked_problem
from hdlimit.problem.noise import NoNoise
from hdlimit.problem.noise_law import NoiseLaw
from hdlimit.problem.problem import Problem
from hdlimit.response.residual_maps import SIGN
from hdlimit.response.response import MapResponse


@dataclass(frozen=True, eq=False)
class EffectiveRate:
    """Effective learning rate: sign's step in SGD's units, without noise and for features of variance 1.

    Parameters
    ----------
    lr : float
        sqrt(2/pi) mu_0(v) eta, for batch size 1 (2/pi) eta/sqrt(v): it grows as the risk falls.
    sgd_lr : float
        eta.
    excess : float
        Sign's diffusion over that of SGD with this effective step, without noise and features: pi^2/4 for batch size 1.
    """

    lr: float
    sgd_lr: float
    excess: float


@dataclass(frozen=True, eq=False)
class NoiseCompression:
    """What label noise does to each optimizer, relative to no noise.

    Parameters
    ----------
    drift : float
        Sign's drift is multiplied by f = mu(v)/mu_0(v), its diffusion by 1.
    sgd_diffusion : float
        SGD's diffusion is multiplied by (v + E eps^2)/v, its drift by 1.
    gain : float
        f^2 (v + E eps^2)/v, the factor in mu^2/nu by which sign stands the noise better: 1 for Gaussian noise and batch
        size 1, inf for infinite variance.
    """

    drift: float
    sgd_diffusion: float
    gain: float


@dataclass(frozen=True, eq=False)
class Preconditioning:
    """Diagonal preconditioning: the spectrum of S^-1/2 K S^-1/2 in place of that of K.

    Parameters
    ----------
    spectrum, sgd_spectrum : ndarray
        Eigenvalues > 0, ascending.
    condition, sgd_condition : float
        Largest eigenvalue over smallest.
    steady, sgd_steady : float
        The trace over d that sets the steady risk, mean(sqrt K_ii) (for a singular K less, by what diffuses in its null
        space) against kappa = tr(K)/d.
    """

    spectrum: FloatArray
    sgd_spectrum: FloatArray
    condition: float
    sgd_condition: float
    steady: float
    sgd_steady: float


@dataclass(frozen=True, eq=False)
class NoiseReshaping:
    """Noise reshaping: the noise has the shape K_g in place of K.

    Parameters
    ----------
    trace : float
        tr(K K_g)/d, how much a unit of noise raises v.
    sgd_trace : float
        tr(K^2)/d, the same of SGD.
    ratio : float
        tr(K K_g)/tr(S^-1/2 K S^-1 K S^-1/2), against SGD with the same preconditioning, whose noise has the same trace:
        1 for a diagonal K.
    """

    trace: float
    sgd_trace: float
    ratio: float


@dataclass(frozen=True, eq=False)
class Effects:
    """The four effects of signSGD against SGD on a problem, at one risk and with one step for both.

    Parameters
    ----------
    lr, batch_size, risk
        Where they are taken.
    rate : EffectiveRate
        Effective learning rate.
    noise : NoiseCompression
        Noise compression.
    preconditioning : Preconditioning
        Diagonal preconditioning.
    reshaping : NoiseReshaping
        Noise reshaping.
    descent, sgd_descent : float
        dR/dt of signSGD and of SGD there, put together from the effects (inf where E eps^2 is infinite).

    Examples
    --------
    >>> import hdlimit as hd
    >>> effects = hd.effects(hd.Problem(hd.Isotropic(100), hd.NoNoise()), lr=0.3)
    >>> round(effects.rate.excess, 4)  # pi^2/4
    2.4674
    """

    lr: float
    batch_size: int
    risk: float
    rate: EffectiveRate
    noise: NoiseCompression
    preconditioning: Preconditioning
    reshaping: NoiseReshaping
    descent: float
    sgd_descent: float

    def summary(self) -> str:
        """Return the effects as a table.

        Returns
        -------
        str
            signSGD and SGD side by side, one line a number.
        """
        rows = [
            ("effective lr", self.rate.lr, self.rate.sgd_lr),
            ("diffusion at that lr", self.rate.excess, 1.0),
            ("noise: drift x", self.noise.drift, 1.0),
            ("noise: diffusion x", 1.0, self.noise.sgd_diffusion),
            ("noise: mu^2/nu, sign over SGD", self.noise.gain, 1.0),
            ("condition number", self.preconditioning.condition, self.preconditioning.sgd_condition),
            ("steady state: trace/d", self.preconditioning.steady, self.preconditioning.sgd_steady),
            ("noise shape: tr(K K_g)/d", self.reshaping.trace, self.reshaping.sgd_trace),
            ("noise shape, sign over preconditioned SGD", self.reshaping.ratio, 1.0),
            ("dR/dt", self.descent, self.sgd_descent),
        ]
        head = f"{f'lr {self.lr:.4g}, R = {self.risk:.4g}':<43}{'signSGD':>12}{'SGD':>12}"
        return "\n".join([head, *(f"{name:<43}{sign:>12.4g}{sgd:>12.4g}" for name, sign, sgd in rows)])

    def __str__(self) -> str:
        return self.summary()


@known_names
def effects(problem: Problem, lr: float, risk: float | None = None, batch_size: int = 1) -> Effects:
    """Compute why signSGD and SGD differ on a problem: four effects as numbers.

    Effective learning rate, noise compression, diagonal preconditioning and noise reshaping: factors of drift and
    diffusion that are 1, or equal for both, where the effect does not act. Isotropic features leave the first two, no
    noise takes the second away, equal K_ii leave no preconditioning, a diagonal K no reshaping.

    Parameters
    ----------
    problem : Problem
        One that does not start at its target.
    lr : float
        eta > 0, the same for both.
    risk : float, optional
        The excess risk R > 0 at which to compare, the problem's initial risk by default (dR/dt is for delta in the
        direction of the start).
    batch_size : int
        B.

    Returns
    -------
    Effects
        The effects and what follows from them.

    Raises
    ------
    InvalidInput
        For an argument that is not as described.

    Notes
    -----
    Drift of theta and diffusion, at v = 2R:

        SGD       -eta K delta            eta^2 (v + E eps^2)/(B d) K
        signSGD   -eta_e f S^-1 K delta   eta^2/d K_g

    with eta_e = sqrt(2/pi) mu_0(v) eta, f = mu(v)/mu_0(v), S = diag(sqrt K_ii) and
    K_g = (2/pi) arcsin(K_ij/sqrt(K_ii K_jj)).

    References
    ----------
    The effects are those that Xiao et al. (2025) name.

    Examples
    --------
    >>> import hdlimit as hd
    >>> effects = hd.effects(hd.Problem(hd.Isotropic(100), hd.Gaussian(0.5)), lr=0.3)
    >>> round(effects.noise.gain, 6), round(effects.reshaping.ratio, 6)
    (1.0, 1.0)
    """
    checked_problem(problem)
    if problem.initial_risk == 0:
        raise InvalidInput("problem", "a start away from the target", "an initial risk of 0")
    lr, batch_size = checks.scale("lr", lr), checks.count("batch_size", batch_size)
    risk = problem.initial_risk if risk is None else checks.risk("risk", risk)
    rate, noise = _responses(problem.noise, 2 * risk, lr, batch_size)
    preconditioning, reshaping = _spectra(problem.covariance)
    pull, sgd_pull = _pulls(problem, risk)
    descent = -rate.lr * noise.drift * pull + lr**2 * reshaping.trace / 2
    diffusion = lr**2 * 2 * risk * noise.sgd_diffusion / batch_size * reshaping.sgd_trace / 2
    return Effects(lr, batch_size, risk, rate, noise, preconditioning, reshaping, descent, diffusion - lr * sgd_pull)


def _responses(law: NoiseLaw, v: float, lr: float, batch_size: int) -> tuple[EffectiveRate, NoiseCompression]:
    """Compute the effects that depend on v and the noise."""
    silent, _ = MapResponse(SIGN, NoNoise(), batch_size)(v)
    noisy, _ = MapResponse(SIGN, law, batch_size)(v)
    step, drift, diffusion = math.sqrt(2 / math.pi) * silent * lr, noisy / silent, 1 + law.second_moment / v
    excess = batch_size * (lr / step) ** 2 / v
    return EffectiveRate(step, lr, excess), NoiseCompression(drift, diffusion, drift**2 * diffusion)


def _spectra(covariance: CovarianceModel) -> tuple[Preconditioning, NoiseReshaping]:
    """Compute the effects of the covariance from lambda and C of sign features, G = sqrt(2/pi) S^-1."""
    b, d, scale = basis(covariance, "sign"), covariance.dimension, math.sqrt(math.pi / 2)
    noise = b.noise if b.noise.ndim == 1 else np.diagonal(b.noise)
    every, plain = scale * b.rate, covariance.eigenvalues
    spectrum, plain = np.sort(every[every > 0]), plain[plain > 0]
    trace, steady = float(b.rate @ noise), float(noise[b.rate > 0].sum()) / scale
    ratio = trace * d / float(spectrum @ spectrum)
    conditions = float(spectrum[-1] / spectrum[0]), float(plain[-1] / plain[0])
    preconditioning = Preconditioning(spectrum, plain, *conditions, steady, covariance.trace / d)
    return preconditioning, NoiseReshaping(trace, float(plain @ plain) / d, ratio)


def _pulls(problem: Problem, risk: float) -> tuple[float, float]:
    """Return delta^T K S^-1 K delta and delta^T K^2 delta, for the start's delta scaled to the risk."""
    variances = problem.covariance.variances
    pull = problem.covariance.apply(problem.initial_error) ** 2 * (risk / problem.initial_risk)
    moving = variances > 0
    return float((pull[moving] / np.sqrt(variances[moving])).sum()), float(pull.sum())
