"""Files: records read from them and rows written to them."""
