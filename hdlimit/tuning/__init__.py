"""What to set: thresholds, step sizes, schedules."""
