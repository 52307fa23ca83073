"""Prediction against simulation, with a stated false-alarm rate."""
