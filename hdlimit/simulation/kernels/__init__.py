"""Compiled steps of the simulator."""
