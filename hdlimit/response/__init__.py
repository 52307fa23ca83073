"""What noise and residual map do to the drift and to the noise of a step."""
