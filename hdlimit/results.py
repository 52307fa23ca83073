"""The records that predict, simulate, verify and the tuning functions return."""

from hdlimit.core.observable import Observable
from hdlimit.finite_size.exact_mean import ExactMean
from hdlimit.finite_size.sde import SdePaths
from hdlimit.prediction.curve import Curve
from hdlimit.prediction.sweep_record import Sweep
from hdlimit.response.best_threshold import BestThreshold
from hdlimit.response.efficiency import Efficiency
from hdlimit.simulation.ensemble import Ensemble
from hdlimit.tuning.clip_schedule import ClipSchedule
from hdlimit.tuning.compare import Comparison
from hdlimit.tuning.landscape import Landscape
from hdlimit.tuning.log_answer import LogTuning
from hdlimit.tuning.sign_effects import Effects
from hdlimit.tuning.step_tuning import LrTuning
from hdlimit.tuning.threshold_report import Tuning
from hdlimit.verification.report import Report
from hdlimit.verification.scaling_report import ScalingStudy

__all__ = [
    "BestThreshold",
    "ClipSchedule",
    "Comparison",
    "Curve",
    "Effects",
    "Efficiency",
    "Ensemble",
    "ExactMean",
    "Landscape",
    "LogTuning",
    "LrTuning",
    "Observable",
    "Report",
    "ScalingStudy",
    "SdePaths",
    "Sweep",
    "Tuning",
]
