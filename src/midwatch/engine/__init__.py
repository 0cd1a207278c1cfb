"""The loop around the core: handle, perform, watch. It knows ports and no vendor."""
