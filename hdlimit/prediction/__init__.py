"""Risk curves and grids of them."""
