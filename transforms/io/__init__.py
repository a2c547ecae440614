"""Sources and sinks, with one package for files and one for each service."""
