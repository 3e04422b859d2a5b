"""One use case a file: load, ask the domain, save, publish."""
