"""The optimizers themselves at finite d. This room knows no theory."""
