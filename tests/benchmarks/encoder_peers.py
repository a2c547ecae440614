"""Other ways to compute a model's vectors, with one interface: a list of texts in, an array of vectors out."""

from __future__ import annotations

import concurrent.futures
import multiprocessing
import os
import pathlib
import tempfile
from collections.abc import Callable
from typing import Any

import numpy as np

from transforms.encoder.catalogue import find_model

Encode = Callable[[list[str]], Any]
_OURS = ("TF_NUM_INTRAOP_THREADS", "TF_ENABLE_ONEDNN_OPTS")
# In tokens; TextEncoder's default.
_MAX_SEQ_LENGTH = 128


def beams_own(model: str) -> Encode:
    """Beam's MLTransform with TensorflowHubTextEmbeddings on the same SavedModels."""
    find_model(model)
    # TensorFlow is configured for this project's program, which would leave this peer one core.
    ours = {name: os.environ.pop(name) for name in _OURS if name in os.environ}
    pool = concurrent.futures.ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))
    pool.submit(os.getpid).result()
    os.environ |= ours
    return lambda texts: pool.submit(_beams_own, model, texts).result()


def _beams_own(model: str, texts: list[str]) -> Any:
    import apache_beam as beam
    from apache_beam.ml.transforms.base import MLTransform
    from apache_beam.ml.transforms.embeddings.tensorflow_hub import TensorflowHubTextEmbeddings

    entry = find_model(model)
    with tempfile.TemporaryDirectory() as artifacts, beam.Pipeline(runner="FnApiRunner") as pipeline:
        handler = TensorflowHubTextEmbeddings(
            columns=["text"], hub_url=entry.encoder, preprocessing_url=entry.preprocessor
        )
        rows = pipeline | beam.Create([{"text": text} for text in texts])
        _ = rows | MLTransform(write_artifact_location=artifacts).with_transform(handler)
    # It gives only pooled_output, which there is nothing to compare with, so its vectors are left out: zeros.
    return np.zeros((len(texts), entry.dimension), np.float32)


def sentence_transformers(checkpoint: str, backend: str, **model_options: Any) -> Encode:
    """sentence-transformers on one of its backends."""
    from sentence_transformers import SentenceTransformer

    found = SentenceTransformer(_needed(checkpoint), backend=backend, device="cpu", model_kwargs=model_options)
    found.max_seq_length = _MAX_SEQ_LENGTH
    return lambda texts: found.encode(texts, batch_size=32, show_progress_bar=False)


def _bfloat16_pytorch(checkpoint: str) -> Encode:
    import torch

    return sentence_transformers(checkpoint, "torch", torch_dtype=torch.bfloat16)


def _openvino(checkpoint: str, hint: str) -> Encode:
    return sentence_transformers(checkpoint, "openvino", ov_config={"INFERENCE_PRECISION_HINT": hint}, export=True)


# What sentence-transformers calls its file for each kind of processor.
_QUANTISED = {"avx512_vnni": "onnx/model_qint8_avx512_vnni.onnx", "avx2": "onnx/model_quint8_avx2.onnx"}


def _onnx_int8(checkpoint: str) -> Encode:
    """ONNX Runtime on weights that sentence-transformers quantized for this processor."""
    from sentence_transformers import SentenceTransformer, export_dynamic_quantized_onnx_model

    kind = "avx512_vnni" if "avx512_vnni" in pathlib.Path("/proc/cpuinfo").read_text() else "avx2"
    folder = tempfile.mkdtemp()
    whole = SentenceTransformer(_needed(checkpoint), backend="onnx", device="cpu", model_kwargs={"export": True})
    whole.save_pretrained(folder)
    export_dynamic_quantized_onnx_model(whole, kind, folder)
    return sentence_transformers(folder, "onnx", file_name=_QUANTISED[kind])


def _needed(checkpoint: str) -> str:
    if not checkpoint:
        raise ValueError("no --checkpoint")
    return checkpoint


# The function that makes each peer, given the model's name and its weights in Hugging Face layout.
PEERS: dict[str, Callable[[str, str], Encode]] = {
    "Beam's MLTransform, float32": lambda model, _: beams_own(model),
    "sentence-transformers on PyTorch, float32": lambda _, checkpoint: sentence_transformers(checkpoint, "torch"),
    "sentence-transformers on PyTorch, bfloat16": lambda _, checkpoint: _bfloat16_pytorch(checkpoint),
    "sentence-transformers on OpenVINO, float32": lambda _, checkpoint: _openvino(checkpoint, "f32"),
    "sentence-transformers on OpenVINO, bfloat16": lambda _, checkpoint: _openvino(checkpoint, "bf16"),
    "sentence-transformers on ONNX Runtime, float32": lambda _, checkpoint: sentence_transformers(
        checkpoint, "onnx", export=True
    ),
    "sentence-transformers on ONNX Runtime, int8": lambda _, checkpoint: _onnx_int8(checkpoint),
}
