"""What to set: thresholds, step sizes, schedules, and how close they come to the best possible."""

from hdlimit.optimizers.residual_table import ResidualTable
from hdlimit.optimizers.score import ScoreSGD
from hdlimit.response.best_threshold import best_threshold
from hdlimit.response.efficiency import efficiency
from hdlimit.response.fisher import fisher_information
from hdlimit.tuning.greedy import greedy_clip, greedy_lr
from hdlimit.tuning.landscape import landscape
from hdlimit.tuning.score import score_sgd
from hdlimit.tuning.search import best_constants

__all__ = [
    "ResidualTable",
    "ScoreSGD",
    "best_constants",
    "best_threshold",
    "efficiency",
    "fisher_information",
    "greedy_clip",
    "greedy_lr",
    "landscape",
    "score_sgd",
]
