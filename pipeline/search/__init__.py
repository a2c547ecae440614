"""Search the rows of a run."""
