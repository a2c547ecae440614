"""`python -m pipeline.plan`: what a stream of a given load needs on Dataflow, and what it costs."""
