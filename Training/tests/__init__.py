"""What must hold of the chain's own arithmetic; on a processor, in seconds: cd Training && python -m unittest discover -s tests -t ."""
