"""The command ``blindsight``."""
