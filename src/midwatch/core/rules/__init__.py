"""What follows: the rules that decide, one noun a file.

Law: a rule reads state, and says what follows with `Decision.emit`, `plan` and `set_timer`; it
never writes state itself. It imports its own floor and those below.
"""
