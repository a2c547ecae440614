"""The optimized BERT graph: its weights, and the pairs of SavedModels that are exported with it."""
