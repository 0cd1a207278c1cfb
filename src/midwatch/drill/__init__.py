"""The drill: the production engine in virtual time, with a simulated world that breaks on purpose.

Nothing here is imported by the engine. What is simulated lives here and nowhere else.
"""
