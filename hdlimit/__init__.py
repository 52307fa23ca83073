"""hdlimit: what streaming optimizers do on least squares when the dimension is large, predicted and verified."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOME = {
    "tuning.compare": ("Comparison", "compare"),
    "problem.covariance": ("Covariance", "Isotropic", "MarchenkoPastur", "PowerLaw", "Rotated", "Wishart"),
    "tuning.sign_effects": ("Effects", "effects"),
    "errors": (
        "DivergenceWarning",
        "HdlimitError",
        "HdlimitWarning",
        "HeavyTailWarning",
        "InvalidInput",
        "LowDimensionWarning",
        "NearCriticalWarning",
        "NoLimit",
        "NonGaussianWarning",
        "NotAvailable",
        "Outcome",
        "Status",
        "ValidityWarning",
        "VerificationRefused",
        "WorkersLost",
    ),
    "finite_size.exact_mean": ("ExactMean", "exact_mean"),
    "storage.records": ("load",),
    "response.fisher": ("fisher_information",),
    "response.efficiency": (
        "Efficiency",
        "efficiency",
        "efficiency_along",
    ),
    "tuning.clip_schedule": ("ClipSchedule",),
    "tuning.greedy": ("greedy_clip", "greedy_lr"),
    "tuning.landscape": ("Landscape", "landscape"),
    "tuning.logs": ("LogTuning", "tune_clip_from_residuals"),
    "problem.noise": (
        "Empirical",
        "Gaussian",
        "GaussianMixture",
        "Laplace",
        "NoNoise",
        "Rademacher",
        "StudentT",
        "Uniform",
    ),
    "problem.scipy_noise": ("ScipyNoise",),
    "optimizers.score": ("ScoreSGD",),
    "optimizers.sign": ("SignSGD",),
    "optimizers.sgd": (
        "SGD",
        "ClippedSGD",
    ),
    "optimizers.residual_table": ("ScoreTable",),
    "prediction.predict": ("predict",),
    "problem.problem": ("Problem",),
    "prediction.curve": ("Curve",),
    "simulation.ensemble": ("Ensemble",),
    "core.observable": ("Observable",),
    "tuning.search": ("best_constants",),
    "verification.scaling": ("ScalingStudy", "scaling_study"),
    "finite_size.sde": ("SdePaths", "sample_sde"),
    "optimizers.schedules": ("Constant", "Cosine", "Function", "Power", "Steps", "Table"),
    "simulation.simulate": ("simulate",),
    "limit.stability": ("stability",),
    "limit.steady_state": ("steady_state",),
    "study": ("read_toml", "to_toml"),
    "prediction.sweep": ("Sweep", "sweep"),
    "response.best_threshold": ("BestThreshold", "best_threshold"),
    "tuning.threshold_tuning": (
        "LrTuning",
        "Tuning",
        "tune_clip",
        "tune_lr",
    ),
    "verification.verify": ("Report", "verify"),
}
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names}

__all__ = ["__version__", *sorted(_MODULE_OF)]

if TYPE_CHECKING:
    from hdlimit.core.observable import Observable as Observable
    from hdlimit.errors import DivergenceWarning as DivergenceWarning
    from hdlimit.errors import HdlimitError as HdlimitError
    from hdlimit.errors import HdlimitWarning as HdlimitWarning
    from hdlimit.errors import HeavyTailWarning as HeavyTailWarning
    from hdlimit.errors import InvalidInput as InvalidInput
    from hdlimit.errors import LowDimensionWarning as LowDimensionWarning
    from hdlimit.errors import NearCriticalWarning as NearCriticalWarning
    from hdlimit.errors import NoLimit as NoLimit
    from hdlimit.errors import NonGaussianWarning as NonGaussianWarning
    from hdlimit.errors import NotAvailable as NotAvailable
    from hdlimit.errors import Outcome as Outcome
    from hdlimit.errors import Status as Status
    from hdlimit.errors import ValidityWarning as ValidityWarning
    from hdlimit.errors import VerificationRefused as VerificationRefused
    from hdlimit.errors import WorkersLost as WorkersLost
    from hdlimit.finite_size.exact_mean import ExactMean as ExactMean
    from hdlimit.finite_size.exact_mean import exact_mean as exact_mean
    from hdlimit.finite_size.sde import SdePaths as SdePaths
    from hdlimit.finite_size.sde import sample_sde as sample_sde
    from hdlimit.limit.stability import stability as stability
    from hdlimit.limit.steady_state import steady_state as steady_state
    from hdlimit.optimizers.residual_table import ScoreTable as ScoreTable
    from hdlimit.optimizers.schedules import Constant as Constant
    from hdlimit.optimizers.schedules import Cosine as Cosine
    from hdlimit.optimizers.schedules import Function as Function
    from hdlimit.optimizers.schedules import Power as Power
    from hdlimit.optimizers.schedules import Steps as Steps
    from hdlimit.optimizers.schedules import Table as Table
    from hdlimit.optimizers.score import ScoreSGD as ScoreSGD
    from hdlimit.optimizers.sgd import SGD as SGD
    from hdlimit.optimizers.sgd import ClippedSGD as ClippedSGD
    from hdlimit.optimizers.sign import SignSGD as SignSGD
    from hdlimit.prediction.curve import Curve as Curve
    from hdlimit.prediction.predict import predict as predict
    from hdlimit.prediction.sweep import Sweep as Sweep
    from hdlimit.prediction.sweep import sweep as sweep
    from hdlimit.problem.covariance import Covariance as Covariance
    from hdlimit.problem.covariance import Isotropic as Isotropic
    from hdlimit.problem.covariance import MarchenkoPastur as MarchenkoPastur
    from hdlimit.problem.covariance import PowerLaw as PowerLaw
    from hdlimit.problem.covariance import Rotated as Rotated
    from hdlimit.problem.covariance import Wishart as Wishart
    from hdlimit.problem.noise import Empirical as Empirical
    from hdlimit.problem.noise import Gaussian as Gaussian
    from hdlimit.problem.noise import GaussianMixture as GaussianMixture
    from hdlimit.problem.noise import Laplace as Laplace
    from hdlimit.problem.noise import NoNoise as NoNoise
    from hdlimit.problem.noise import Rademacher as Rademacher
    from hdlimit.problem.noise import StudentT as StudentT
    from hdlimit.problem.noise import Uniform as Uniform
    from hdlimit.problem.problem import Problem as Problem
    from hdlimit.problem.scipy_noise import ScipyNoise as ScipyNoise
    from hdlimit.response.best_threshold import BestThreshold as BestThreshold
    from hdlimit.response.best_threshold import best_threshold as best_threshold
    from hdlimit.response.efficiency import Efficiency as Efficiency
    from hdlimit.response.efficiency import efficiency as efficiency
    from hdlimit.response.efficiency import efficiency_along as efficiency_along
    from hdlimit.response.fisher import fisher_information as fisher_information
    from hdlimit.simulation.ensemble import Ensemble as Ensemble
    from hdlimit.simulation.simulate import simulate as simulate
    from hdlimit.storage.records import load as load
    from hdlimit.study import read_toml as read_toml
    from hdlimit.study import to_toml as to_toml
    from hdlimit.tuning.clip_schedule import ClipSchedule as ClipSchedule
    from hdlimit.tuning.compare import Comparison as Comparison
    from hdlimit.tuning.compare import compare as compare
    from hdlimit.tuning.greedy import greedy_clip as greedy_clip
    from hdlimit.tuning.greedy import greedy_lr as greedy_lr
    from hdlimit.tuning.landscape import Landscape as Landscape
    from hdlimit.tuning.landscape import landscape as landscape
    from hdlimit.tuning.logs import LogTuning as LogTuning
    from hdlimit.tuning.logs import tune_clip_from_residuals as tune_clip_from_residuals
    from hdlimit.tuning.search import best_constants as best_constants
    from hdlimit.tuning.sign_effects import Effects as Effects
    from hdlimit.tuning.sign_effects import effects as effects
    from hdlimit.tuning.threshold_tuning import LrTuning as LrTuning
    from hdlimit.tuning.threshold_tuning import Tuning as Tuning
    from hdlimit.tuning.threshold_tuning import tune_clip as tune_clip
    from hdlimit.tuning.threshold_tuning import tune_lr as tune_lr
    from hdlimit.verification.scaling import ScalingStudy as ScalingStudy
    from hdlimit.verification.scaling import scaling_study as scaling_study
    from hdlimit.verification.verify import Report as Report
    from hdlimit.verification.verify import verify as verify


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'hdlimit' has no attribute {name!r}")
    value = getattr(import_module(f"hdlimit.{_MODULE_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
