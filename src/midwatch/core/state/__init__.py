"""What has happened: events and inputs, and the state that they fold into.

Law: state changes by an event and by nothing else; nothing here decides. It imports its own floor
and `core/values/`.
"""
