"""What runbooks do in the world: one way of doing a file."""
