"""The program: options, sources, sinks, the graph, and `python -m pipeline`."""
