"""Reads records from files and writes rows to files."""
