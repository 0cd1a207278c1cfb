"""Where the journal is kept, with its SQL beside it."""
