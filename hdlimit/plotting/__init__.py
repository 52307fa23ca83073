"""Figures: theory as a line, simulated runs as markers with the band of one run.

Functions read attributes of what they draw and know no class of results. matplotlib is imported on first use.
"""
