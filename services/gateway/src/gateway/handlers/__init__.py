"""One use case in each file: load, apply the rules of the domain, save; one transaction."""
