"""Declarations and results in files."""
