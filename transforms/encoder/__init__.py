"""Text encoders, which convert texts to vectors and do not need Beam."""
