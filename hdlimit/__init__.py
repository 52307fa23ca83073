"""hdlimit: what streaming optimizers do on least squares when the dimension is large, predicted and verified.

The problem
    Problem; covariances Covariance, Isotropic, MarchenkoPastur, PowerLaw, Wishart; label noise Empirical, Gaussian,
    GaussianMixture, Laplace, NoNoise, Rademacher, StudentT, SymmetricStable, Uniform, or any frozen scipy.stats
    distribution.
The optimizers
    SGD, ClippedSGD, SignSGD, ResidualSGD (any scalar map); `schedules` has schedules of their parameters.
Prediction
    predict, sweep, stability, steady_state, effects, exact_mean, sample_sde.
Simulation and verification
    simulate, verify, scaling_study.
Tuning
    tune_clip, tune_lr, tune_clip_from_residuals, compare; `tuning` has what they are made of.
Figures and files
    plot, load, read_toml, to_toml.
Submodules
    errors, results, schedules, tuning.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from hdlimit.core.version import __version__

_HOME = {
    "problem.problem": ("Problem",),
    "problem.covariance": ("Covariance",),
    "problem.named_covariances": (
        "Isotropic",
        "MarchenkoPastur",
        "PowerLaw",
        "Wishart",
    ),
    "problem.noise": (
        "Gaussian",
        "Laplace",
        "NoNoise",
        "Rademacher",
        "StudentT",
        "Uniform",
    ),
    "problem.empirical": ("Empirical",),
    "problem.gaussian_mixture": ("GaussianMixture",),
    "problem.stable": ("SymmetricStable",),
    "optimizers.sgd": (
        "SGD",
        "ClippedSGD",
    ),
    "optimizers.sign": ("SignSGD",),
    "optimizers.residual": ("ResidualSGD",),
    "prediction.predict": ("predict",),
    "prediction.sweep": ("sweep",),
    "simulation.simulate": ("simulate",),
    "verification.verify": ("verify",),
    "verification.scaling": ("scaling_study",),
    "tuning.threshold_tuning": ("tune_clip",),
    "tuning.step_tuning": ("tune_lr",),
    "tuning.logs": ("tune_clip_from_residuals",),
    "tuning.compare": ("compare",),
    "tuning.sign_effects": ("effects",),
    "limit.stability": ("stability",),
    "limit.steady_state": ("steady_state",),
    "finite_size.exact_mean": ("exact_mean",),
    "finite_size.sde": ("sample_sde",),
    "plotting.overlay": ("plot",),
    "loading": ("load",),
    "study": (
        "read_toml",
        "to_toml",
    ),
}
_SUBMODULES = ("errors", "results", "schedules", "tuning")
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names}

__all__ = [  # grouped as in the docstring
    "__version__",
    "Problem",
    "Covariance",
    "Isotropic",
    "MarchenkoPastur",
    "PowerLaw",
    "Wishart",
    "Empirical",
    "Gaussian",
    "GaussianMixture",
    "Laplace",
    "NoNoise",
    "Rademacher",
    "StudentT",
    "SymmetricStable",
    "Uniform",
    "SGD",
    "ClippedSGD",
    "SignSGD",
    "ResidualSGD",
    "predict",
    "sweep",
    "simulate",
    "verify",
    "scaling_study",
    "tune_clip",
    "tune_lr",
    "tune_clip_from_residuals",
    "compare",
    "effects",
    "stability",
    "steady_state",
    "exact_mean",
    "sample_sde",
    "plot",
    "load",
    "read_toml",
    "to_toml",
    "errors",
    "results",
    "schedules",
    "tuning",
]

if TYPE_CHECKING:
    from hdlimit import errors as errors
    from hdlimit import results as results
    from hdlimit import schedules as schedules
    from hdlimit import tuning as tuning
    from hdlimit.finite_size.exact_mean import exact_mean as exact_mean
    from hdlimit.finite_size.sde import sample_sde as sample_sde
    from hdlimit.limit.stability import stability as stability
    from hdlimit.limit.steady_state import steady_state as steady_state
    from hdlimit.loading import load as load
    from hdlimit.optimizers.residual import ResidualSGD as ResidualSGD
    from hdlimit.optimizers.sgd import SGD as SGD
    from hdlimit.optimizers.sgd import ClippedSGD as ClippedSGD
    from hdlimit.optimizers.sign import SignSGD as SignSGD
    from hdlimit.plotting.overlay import plot as plot
    from hdlimit.prediction.predict import predict as predict
    from hdlimit.prediction.sweep import sweep as sweep
    from hdlimit.problem.covariance import Covariance as Covariance
    from hdlimit.problem.empirical import Empirical as Empirical
    from hdlimit.problem.gaussian_mixture import GaussianMixture as GaussianMixture
    from hdlimit.problem.named_covariances import Isotropic as Isotropic
    from hdlimit.problem.named_covariances import MarchenkoPastur as MarchenkoPastur
    from hdlimit.problem.named_covariances import PowerLaw as PowerLaw
    from hdlimit.problem.named_covariances import Wishart as Wishart
    from hdlimit.problem.noise import Gaussian as Gaussian
    from hdlimit.problem.noise import Laplace as Laplace
    from hdlimit.problem.noise import NoNoise as NoNoise
    from hdlimit.problem.noise import Rademacher as Rademacher
    from hdlimit.problem.noise import StudentT as StudentT
    from hdlimit.problem.noise import Uniform as Uniform
    from hdlimit.problem.problem import Problem as Problem
    from hdlimit.problem.stable import SymmetricStable as SymmetricStable
    from hdlimit.simulation.simulate import simulate as simulate
    from hdlimit.study import read_toml as read_toml
    from hdlimit.study import to_toml as to_toml
    from hdlimit.tuning.compare import compare as compare
    from hdlimit.tuning.logs import tune_clip_from_residuals as tune_clip_from_residuals
    from hdlimit.tuning.sign_effects import effects as effects
    from hdlimit.tuning.step_tuning import tune_lr as tune_lr
    from hdlimit.tuning.threshold_tuning import tune_clip as tune_clip
    from hdlimit.verification.scaling import scaling_study as scaling_study
    from hdlimit.verification.verify import verify as verify


def __getattr__(name: str) -> Any:
    if name in _SUBMODULES:
        return import_module(f"hdlimit.{name}")
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'hdlimit' has no attribute {name!r}")
    value = getattr(import_module(f"hdlimit.{_MODULE_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
