"""The optimizers and the schedules of their parameters, as declarations."""
