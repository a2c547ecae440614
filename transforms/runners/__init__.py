"""Beam's local runner, with a workaround and a check for endless pipelines."""
