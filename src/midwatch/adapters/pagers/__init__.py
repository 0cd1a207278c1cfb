"""Channels to a human, one a file: a page goes out, a receipt comes back."""
