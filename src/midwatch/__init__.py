"""midwatch closes the on-call loop for AI services."""

__version__ = "0.1.0"
