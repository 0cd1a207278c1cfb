"""What a case is run against: a file for each."""
