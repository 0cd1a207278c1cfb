"""One place of SLI counts a file: an objective and windows -> counts."""
