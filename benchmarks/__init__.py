"""Figures, each beside a peer in the same run. `make bench` runs them all."""

import os

# What is measured is midwatch as it is installed: with its bytecode, as pip writes it. A shell that
# forbids bytecode would have every command compile the whole program first, and time the compiler.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
