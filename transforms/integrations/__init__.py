"""The transforms in the forms that MLTransform, RunInference, Beam YAML and other languages use."""
