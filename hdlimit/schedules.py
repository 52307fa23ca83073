"""Schedules of step sizes, thresholds and other parameters as functions of t = k/d."""

from hdlimit.optimizers.schedules import Constant, Cosine, Function, Power, Schedule, Steps, Table

__all__ = ["Constant", "Cosine", "Function", "Power", "Schedule", "Steps", "Table"]
