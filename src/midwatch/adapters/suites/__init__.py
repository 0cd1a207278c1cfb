"""Formats of eval-case files: a file for each, and one that recognises them."""
