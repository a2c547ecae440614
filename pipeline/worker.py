"""A worker process of the local runner: Beam's, without the lines that TensorFlow prints as it is imported."""

import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Sequence
from types import ModuleType

from apache_beam.runners.worker import sdk_worker_main

from pipeline import console


class _QuietTensorflow(importlib.abc.MetaPathFinder):
    """Silences the first import of TensorFlow, which only a worker that runs an encoder needs."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name != "tensorflow":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec and spec.loader:
            spec.loader.exec_module = console.silenced()(spec.loader.exec_module)  # type: ignore[method-assign]
        return spec


if __name__ == "__main__":
    sys.meta_path.insert(0, _QuietTensorflow())
    sdk_worker_main.main(sys.argv)
