"""One list of every noise law, covariance, schedule and optimizer: a new one is added here and tested everywhere.

`name_of` gives a case its test id; dimensions are small so that a test may run over every combination.
"""

from __future__ import annotations

import math
import re

import numpy as np
from scipy import stats

from hdlimit.optimizers.base import Optimizer
from hdlimit.optimizers.compositions import Product, Sequential
from hdlimit.optimizers.residual import ResidualSGD
from hdlimit.optimizers.residual_table import ResidualTable
from hdlimit.optimizers.schedule_shapes import Cosine, Linear, Polynomial, Power, Steps
from hdlimit.optimizers.schedules import Constant, Function, Schedule, Table
from hdlimit.optimizers.score import ScoreSGD
from hdlimit.optimizers.sgd import SGD, ClippedSGD
from hdlimit.optimizers.sign import SignSGD
from hdlimit.optimizers.warm_ups import WSD, WarmUp
from hdlimit.problem.covariance import Covariance, CovarianceModel
from hdlimit.problem.empirical import Empirical
from hdlimit.problem.gaussian_mixture import GaussianMixture
from hdlimit.problem.named_covariances import Isotropic, MarchenkoPastur, PowerLaw, Wishart
from hdlimit.problem.noise import Gaussian, Laplace, NoNoise, Rademacher, StudentT, Uniform
from hdlimit.problem.noise_law import NoiseLaw
from hdlimit.problem.scipy_noise import ScipyNoise
from hdlimit.problem.stable import SymmetricStable


def name_of(case: object) -> str:
    """The test id of a case: its repr, without addresses, which differ from process to process."""
    return re.sub(r" at 0x[0-9a-f]+", "", repr(case))


NOISES: list[NoiseLaw] = [
    NoNoise(),
    Gaussian(0.7),
    StudentT(df=5, scale=0.5),
    StudentT(df=3, scale=0.5),
    StudentT(df=1.5, scale=0.6),
    StudentT(df=1, scale=0.7),
    SymmetricStable(alpha=1.5, scale=0.4),
    Laplace(0.5),
    Uniform(1.2),
    Rademacher(0.8),
    GaussianMixture(weights=[0.9, 0.1], scales=[0.3, 2.0]),
    GaussianMixture(weights=[0.2, 0.5, 0.3], scales=[0.4, 0.0, 0.2], means=[-0.5, 0.1, 0.9]),
    Empirical([-1.3, -0.2, 0.0, 0.1, 0.1, 0.4, 2.5]),
    ScipyNoise(stats.skewnorm(4, loc=-0.6)),
    ScipyNoise(stats.logistic(scale=0.4)),
    ScipyNoise(stats.poisson(1.5, loc=-1)),
]

_SCALES = np.geomspace(0.3, 3.0, 40)
_FACTOR = np.arange(12.0).reshape(4, 3) / 7

COVARIANCES: list[CovarianceModel] = [
    Isotropic(48),
    PowerLaw(60, 0.5),
    MarchenkoPastur(60, 0.5),
    MarchenkoPastur(60, 2.0),
    Wishart(40, 0.5),
    Wishart(40, 2.0, row_scales=_SCALES, seed=3),
    PowerLaw(40, 0.8).rotated(seed=1),
    Covariance(_SCALES),
    Covariance(np.concatenate([np.zeros(3), _SCALES])),
    Covariance(_FACTOR @ _FACTOR.T),
]

SCHEDULES: list[Schedule] = [
    Constant(0.5),
    Steps(times=[1.0, 3.5], values=[0.6, 0.3, 0.1]),
    Cosine(initial=0.8, final=0.05, duration=4.0),
    Power(initial=0.6, exponent=0.5, time_scale=2.0),
    Table(times=[0.0, 0.5, 4.0], values=[0.1, 0.6, 0.2]),
    Linear(initial=0.2, final=0.7, duration=2.0),
    Polynomial(initial=0.8, final=0.05, duration=4.0, power=2.5),
    WarmUp(Cosine(initial=0.8, final=0.0, duration=3.0), duration=0.5, initial=0.1),
    WSD(peak=0.7, duration=4.0, warmup_share=0.125, decay_share=0.25, final=0.07),
    Sequential([Steps([0.5], [0.3, 0.6]), Power(0.6, 1.0), WarmUp(0.5, duration=0.25)], times=[1.0, 2.5]),
    Product([Linear(0.2, 1.0, duration=1.0), Cosine(0.8, 0.1, duration=5.0), Steps([2.0], [1.0, 0.5])]),
]


def halving(t: float) -> float:
    """A schedule as a plain function (at module level, so that it can be pickled)."""
    return 0.6 * 0.5**t


FUNCTION_SCHEDULE = Function(halving)

_TABLE = ResidualTable(
    levels=[0.1, 0.5], residuals=[-1.0, -0.2, 0.2, 2.0], scores=[[-0.8, -0.3, 0.3, 1.0], [-1.0, -0.1, 0.1, 2.0]]
)

_JUMPS = ResidualTable(
    levels=[1.0, 2.0], residuals=[-1.5, -0.4, -0.4, 0.0, 2.0], scores=[[-1.0, -0.6, -0.2, 0.0, 1.5]] * 2
)

OPTIMIZERS: list[Optimizer] = [
    SGD(lr=0.5),
    SGD(lr=0.4, batch_size=4),
    SGD(lr=SCHEDULES[1]),
    ClippedSGD(lr=0.5, threshold=0.9),
    ClippedSGD(lr=0.5, threshold=0.7, batch_size=3),
    ClippedSGD(lr=0.3, threshold=math.inf),
    ClippedSGD(lr=SCHEDULES[2], threshold=SCHEDULES[4]),
    SGD(lr=0.05, momentum=0.9),
    SGD(lr=SCHEDULES[1], batch_size=3, momentum=0.6, dampening=0.6),
    ClippedSGD(lr=0.1, threshold=0.8, batch_size=2, momentum=0.8, nesterov=True),
    SignSGD(lr=0.3),
    SignSGD(lr=0.3, batch_size=4),
    SignSGD(lr=SCHEDULES[3]),
    ScoreSGD(lr=0.3, table=_TABLE, design=SCHEDULES[4]),
    ScoreSGD(lr=0.3, table=_TABLE, design=0.2, batch_size=4),
    ResidualSGD(lr=0.4, psi=_JUMPS),
    ResidualSGD(lr=SCHEDULES[1], psi=_TABLE, control=SCHEDULES[4], batch_size=3),
    ResidualSGD(lr=0.4, psi=_JUMPS, features="sign"),
]
