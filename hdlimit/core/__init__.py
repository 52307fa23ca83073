"""What every room stands on: declarations, checks, time, seeds, the compiler's decorator."""
