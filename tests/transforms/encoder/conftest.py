"""TensorFlow as the program imports it: without Keras, which would take half as long again."""

from pipeline.console import import_tensorflow

import_tensorflow()
