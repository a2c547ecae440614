"""The transforms as MLTransform and Beam YAML take them."""
