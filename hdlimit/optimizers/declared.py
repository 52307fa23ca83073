"""The lists of all optimizers and schedules: what is imported here is known by its name in files."""

from hdlimit.optimizers.compositions import Product, Sequential
from hdlimit.optimizers.residual import ResidualSGD
from hdlimit.optimizers.schedule_shapes import Cosine, Linear, Polynomial, Power, Steps
from hdlimit.optimizers.schedules import Constant, Table
from hdlimit.optimizers.score import ScoreSGD
from hdlimit.optimizers.sgd import SGD, ClippedSGD
from hdlimit.optimizers.sign import SignSGD
from hdlimit.optimizers.warm_ups import WSD, WarmUp

OPTIMIZERS = (SGD, ClippedSGD, SignSGD, ScoreSGD, ResidualSGD)
SCHEDULES = (Constant, Steps, Table, Linear, Cosine, Polynomial, Power, Sequential, Product, WarmUp, WSD)
