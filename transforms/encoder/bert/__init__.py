"""BERT as a graph of our own: its weights, and pairs of SavedModels made of it."""
