"""Ways of moving traffic: a file for each."""
