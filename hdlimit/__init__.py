"""hdlimit: what streaming optimizers do on least squares when the dimension is large, predicted and verified."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOME = {
    "covariance": ("Covariance", "Isotropic", "MarchenkoPastur", "PowerLaw", "Rotated", "Wishart"),
    "errors": (
        "DivergenceWarning",
        "HdlimitError",
        "HdlimitWarning",
        "HeavyTailWarning",
        "InvalidInput",
        "LowDimensionWarning",
        "NoLimit",
        "NotAvailable",
        "Outcome",
        "Status",
        "ValidityWarning",
        "VerificationRefused",
    ),
    "files": ("load",),
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
    "optimizers": ("SGD", "ClippedSGD", "SignSGD"),
    "predict": ("predict",),
    "problem": ("Problem",),
    "results": ("Curve", "Ensemble"),
    "schedules": ("Constant", "Cosine", "Function", "Power", "Steps", "Table"),
    "simulate": ("simulate",),
    "stability": ("stability", "steady_state"),
    "studies": ("read_toml", "to_toml"),
    "verify": ("Report", "verify"),
}
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names}

__all__ = ["__version__", *sorted(_MODULE_OF)]

if TYPE_CHECKING:
    from hdlimit.covariance import Covariance, Isotropic, MarchenkoPastur, PowerLaw, Rotated, Wishart
    from hdlimit.errors import (
        DivergenceWarning,
        HdlimitError,
        HdlimitWarning,
        HeavyTailWarning,
        InvalidInput,
        LowDimensionWarning,
        NoLimit,
        NotAvailable,
        Outcome,
        Status,
        ValidityWarning,
        VerificationRefused,
    )
    from hdlimit.files import load
    from hdlimit.noise import (
        Empirical,
        Gaussian,
        GaussianMixture,
        Laplace,
        NoNoise,
        Rademacher,
        ScipyNoise,
        StudentT,
        Uniform,
    )
    from hdlimit.optimizers import SGD, ClippedSGD, SignSGD
    from hdlimit.predict import predict
    from hdlimit.problem import Problem
    from hdlimit.results import Curve, Ensemble
    from hdlimit.schedules import Constant, Cosine, Function, Power, Steps, Table
    from hdlimit.simulate import simulate
    from hdlimit.stability import stability, steady_state
    from hdlimit.studies import read_toml, to_toml
    from hdlimit.verify import Report, verify


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'hdlimit' has no attribute {name!r}")
    value = getattr(import_module(f"hdlimit.{_MODULE_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
