"""Everything that knows a vendor, a format or a file. Adapters do not know each other."""
