"""Text encoders: texts in, vectors out. No Beam."""
