"""One alert format a file: bytes -> alerts."""
