"""The problem as a declaration: covariance, noise, rows of data."""
