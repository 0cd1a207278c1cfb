"""What CI systems read: a file for each."""
