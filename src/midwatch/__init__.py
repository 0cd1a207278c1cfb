"""midwatch closes the on-call loop for AI services."""
