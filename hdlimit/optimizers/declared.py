"""The list of all optimizers: what is imported here is known by its name in files."""

from hdlimit.optimizers.residual import ResidualSGD
from hdlimit.optimizers.score import ScoreSGD
from hdlimit.optimizers.sgd import SGD, ClippedSGD
from hdlimit.optimizers.sign import SignSGD

OPTIMIZERS = (SGD, ClippedSGD, SignSGD, ScoreSGD, ResidualSGD)
