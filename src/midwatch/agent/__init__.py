"""The reference support agent: a small, deterministic service that can really regress."""
