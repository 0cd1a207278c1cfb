"""The lowest floor of the core: values, and judgements on values alone.

Law: nothing here knows an event, an incident or any state; it imports only its own floor.
"""
