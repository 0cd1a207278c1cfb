"""The loop around the core: handle, perform, watch, and views for reading. Knows ports, no vendor."""
