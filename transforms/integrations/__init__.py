"""The transforms in the forms that MLTransform and Beam YAML use."""
