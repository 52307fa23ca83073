"""What is left of the limit at finite d: fluctuations, bias, exact means, stochastic differential equations."""
