"""Tests. No example of a property has a wall-clock deadline: a busy machine is no bug."""

from hypothesis import settings

settings.register_profile("midwatch", deadline=None)
settings.load_profile("midwatch")
