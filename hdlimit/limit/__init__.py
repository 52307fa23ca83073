"""The limit equations and their integration."""
