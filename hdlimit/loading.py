"""Results back from files."""

from __future__ import annotations

from os import PathLike

from hdlimit.core.declaration import known_names
from hdlimit.finite_size.sde import SdePaths
from hdlimit.optimizers.declared import OPTIMIZERS, SCHEDULES
from hdlimit.prediction.curve import Curve
from hdlimit.prediction.sweep_record import Sweep
from hdlimit.problem.declared import COVARIANCES, NOISES
from hdlimit.simulation.ensemble import Ensemble
from hdlimit.storage.read_record import read
from hdlimit.storage.records import Record
from hdlimit.verification.report import Report
from hdlimit.verification.scaling_report import ScalingStudy

# What a file may hold; a class is known by its name once its module is imported.
KNOWN = (Curve, Ensemble, SdePaths, Sweep, Report, ScalingStudy, *COVARIANCES, *NOISES, *OPTIMIZERS, *SCHEDULES)


@known_names
def load(path: str | PathLike[str]) -> Record:
    """Read a result back from a .npz file, equal to the saved one bit for bit.

    Parameters
    ----------
    path : str or path-like
        A .npz file that the `save` method of a result wrote.

    Returns
    -------
    Curve, Ensemble, SdePaths, Report, ScalingStudy or Sweep
        The result.

    Raises
    ------
    InvalidInput
        For a file that is missing, truncated, changed, or not written by `save`.

    Examples
    --------
    >>> import hdlimit as hd
    >>> curve = hd.predict(hd.Problem(hd.Isotropic(100), hd.Gaussian(0.5)), hd.SGD(lr=0.5), horizon=5.0)
    >>> curve.save("curve.npz")
    >>> bool((hd.load("curve.npz").risk == curve.risk).all())
    True
    """
    return read(path)
