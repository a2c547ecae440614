"""Reading and writing, one package for each service."""
