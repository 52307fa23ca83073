"""Schedules of step sizes, thresholds and other parameters as functions of t = k/d."""

from hdlimit.optimizers.compositions import Product, Sequential
from hdlimit.optimizers.schedule_shapes import Cosine, Linear, Polynomial, Power, Steps
from hdlimit.optimizers.schedules import Constant, Function, Schedule, Table
from hdlimit.optimizers.trainer_rates import rates
from hdlimit.optimizers.warm_ups import WSD, WarmUp

__all__ = [
    "WSD",
    "Constant",
    "Cosine",
    "Function",
    "Linear",
    "Polynomial",
    "Power",
    "Product",
    "Schedule",
    "Sequential",
    "Steps",
    "Table",
    "WarmUp",
    "rates",
]
