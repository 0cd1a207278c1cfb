"""One format of objectives a file: YAML -> Slo."""
