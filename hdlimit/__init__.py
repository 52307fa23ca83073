"""hdlimit: what streaming optimizers do on least squares when the dimension is large, predicted and verified."""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOME = {
    "compare": ("Comparison", "compare"),
    "covariance": ("Covariance", "Isotropic", "MarchenkoPastur", "PowerLaw", "Rotated", "Wishart"),
    "effects": ("Effects", "effects"),
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
    "exact": ("ExactMean", "exact_mean"),
    "files": ("load",),
    "fisher": ("Efficiency", "efficiency", "efficiency_along", "fisher_information"),
    "follow": ("ClipSchedule",),
    "greedy": ("greedy_lr",),
    "landscape": ("Landscape", "landscape"),
    "logs": ("LogTuning", "tune_clip_from_residuals"),
    "noise": (
        "Empirical",
        "Gaussian",
        "GaussianMixture",
        "Laplace",
        "NoNoise",
        "Rademacher",
        "ScipyNoise",
        "StudentT",
        "Uniform",
    ),
    "optimizers": ("SGD", "ClippedSGD", "ScoreSGD", "ScoreTable", "SignSGD"),
    "predict": ("predict",),
    "problem": ("Problem",),
    "results": ("Curve", "Ensemble", "Observable"),
    "search": ("best_constants",),
    "scaling": ("ScalingStudy", "scaling_study"),
    "sde": ("SdePaths", "sample_sde"),
    "schedules": ("Constant", "Cosine", "Function", "Power", "Steps", "Table"),
    "simulate": ("simulate",),
    "stability": ("stability", "steady_state"),
    "studies": ("read_toml", "to_toml"),
    "sweep": ("Sweep", "sweep"),
    "threshold": ("BestThreshold", "best_threshold"),
    "tune": ("LrTuning", "Tuning", "greedy_clip", "tune_clip", "tune_lr"),
    "verify": ("Report", "verify"),
}
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names}

__all__ = ["__version__", *sorted(_MODULE_OF)]

if TYPE_CHECKING:
    from hdlimit.compare import Comparison as Comparison
    from hdlimit.compare import compare as compare
    from hdlimit.covariance import Covariance as Covariance
    from hdlimit.covariance import Isotropic as Isotropic
    from hdlimit.covariance import MarchenkoPastur as MarchenkoPastur
    from hdlimit.covariance import PowerLaw as PowerLaw
    from hdlimit.covariance import Rotated as Rotated
    from hdlimit.covariance import Wishart as Wishart
    from hdlimit.effects import Effects as Effects
    from hdlimit.effects import effects as effects
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
    from hdlimit.exact import ExactMean as ExactMean
    from hdlimit.exact import exact_mean as exact_mean
    from hdlimit.files import load as load
    from hdlimit.fisher import Efficiency as Efficiency
    from hdlimit.fisher import efficiency as efficiency
    from hdlimit.fisher import efficiency_along as efficiency_along
    from hdlimit.fisher import fisher_information as fisher_information
    from hdlimit.follow import ClipSchedule as ClipSchedule
    from hdlimit.greedy import greedy_lr as greedy_lr
    from hdlimit.landscape import Landscape as Landscape
    from hdlimit.landscape import landscape as landscape
    from hdlimit.logs import LogTuning as LogTuning
    from hdlimit.logs import tune_clip_from_residuals as tune_clip_from_residuals
    from hdlimit.noise import Empirical as Empirical
    from hdlimit.noise import Gaussian as Gaussian
    from hdlimit.noise import GaussianMixture as GaussianMixture
    from hdlimit.noise import Laplace as Laplace
    from hdlimit.noise import NoNoise as NoNoise
    from hdlimit.noise import Rademacher as Rademacher
    from hdlimit.noise import ScipyNoise as ScipyNoise
    from hdlimit.noise import StudentT as StudentT
    from hdlimit.noise import Uniform as Uniform
    from hdlimit.optimizers import SGD as SGD
    from hdlimit.optimizers import ClippedSGD as ClippedSGD
    from hdlimit.optimizers import ScoreSGD as ScoreSGD
    from hdlimit.optimizers import ScoreTable as ScoreTable
    from hdlimit.optimizers import SignSGD as SignSGD
    from hdlimit.predict import predict as predict
    from hdlimit.problem import Problem as Problem
    from hdlimit.results import Curve as Curve
    from hdlimit.results import Ensemble as Ensemble
    from hdlimit.results import Observable as Observable
    from hdlimit.scaling import ScalingStudy as ScalingStudy
    from hdlimit.scaling import scaling_study as scaling_study
    from hdlimit.schedules import Constant as Constant
    from hdlimit.schedules import Cosine as Cosine
    from hdlimit.schedules import Function as Function
    from hdlimit.schedules import Power as Power
    from hdlimit.schedules import Steps as Steps
    from hdlimit.schedules import Table as Table
    from hdlimit.sde import SdePaths as SdePaths
    from hdlimit.sde import sample_sde as sample_sde
    from hdlimit.search import best_constants as best_constants
    from hdlimit.simulate import simulate as simulate
    from hdlimit.stability import stability as stability
    from hdlimit.stability import steady_state as steady_state
    from hdlimit.studies import read_toml as read_toml
    from hdlimit.studies import to_toml as to_toml
    from hdlimit.sweep import Sweep as Sweep
    from hdlimit.sweep import sweep as sweep
    from hdlimit.threshold import BestThreshold as BestThreshold
    from hdlimit.threshold import best_threshold as best_threshold
    from hdlimit.tune import LrTuning as LrTuning
    from hdlimit.tune import Tuning as Tuning
    from hdlimit.tune import greedy_clip as greedy_clip
    from hdlimit.tune import tune_clip as tune_clip
    from hdlimit.tune import tune_lr as tune_lr
    from hdlimit.verify import Report as Report
    from hdlimit.verify import verify as verify


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'hdlimit' has no attribute {name!r}")
    value = getattr(import_module(f"hdlimit.{_MODULE_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)


class _Package(ModuleType):
    """Keeps hdlimit.predict the function when the module of that name is imported; likewise simulate and others."""

    def __setattr__(self, name: str, value: Any) -> None:
        if not (isinstance(value, ModuleType) and name in _MODULE_OF):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
