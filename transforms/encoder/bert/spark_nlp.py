"""Reads the exports of Spark NLP's BertSentenceEmbeddings, and writes each as a checkpoint in Hugging Face layout.

There are two kinds. `loadSavedModel` takes a SavedModel with assets/vocab.txt. `save` writes a Spark ML stage:
metadata/ (JSON), fields/ (Hadoop sequence files of Java objects), and an archive of the graph and its variables.
A vector is what Spark NLP reads: the graph's output pooler_output.
"""

import dataclasses
import itertools
import json
import pathlib
import re
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from tensorflow.core.framework.graph_pb2 import GraphDef
from tensorflow.core.protobuf.trackable_object_graph_pb2 import TrackableObjectGraph

from transforms.encoder.bert.config import BertConfig
from transforms.encoder.bert.graph import INPUT_NAMES, Bert, l2_normalize
from transforms.encoder.bert.weights import EXPORTER_NAMES, TRANSFORMERS_NAMES, activation_of, renamed
from transforms.encoder.engines import agreement
from transforms.encoder.hub import failures_of, meta_graph
from transforms.encoder.packing import Batch

Array = np.ndarray[Any, Any]

_CLASS = "com.johnsnowlabs.nlp.embeddings.BertSentenceEmbeddings"
_VOCABULARY = pathlib.Path("assets", "vocab.txt")
# The names that Spark NLP knows for a graph's inputs and its output.
_NAMES = {
    "input_ids": "input_word_ids",
    "attention_mask": "input_mask",
    "token_type_ids": "input_type_ids",
    "segment_ids": "input_type_ids",
    "pooler_output": "pooled_output",
}
# Where a graph takes the path of its variables, and the operation that reads them.
_FILE, _RESTORE = "filenameTensorName_", "restoreOpName_"
# The tensors of an export that was saved without its signatures.
_SIGNATURES = {
    "input_ids": "input_ids:0",
    "attention_mask": "input_mask:0",
    "token_type_ids": "segment_ids:0",
    "pooler_output": "pooled_output:0",
}
_SAVER = {_FILE: "save/Const", _RESTORE: "save/restore_all"}
_NEEDED = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
_OBJECTS = "_CHECKPOINTABLE_OBJECT_GRAPH"
# What may be called pooler_output, the likeliest first.
_POOLINGS = (("pooled_output", False), ("mean", False), ("mean", True), ("cls", False), ("cls", True))
# The dimensions of a head, the likeliest first.
_HEAD_SIZES = (64, 32)
_REMEDY = "pass --from the checkpoint in Hugging Face layout that it was made of"
# The minimum agreement between the vectors of the export and of the weights that were read from it.
_SAME = 0.99999
# More than this only rounding explains.
_EXACT = 1 - 1e-11


class _Export(NamedTuple):
    """What an export holds.

    Attributes:
        vocabulary: the word pieces in the order of their ids.
        cased: whether text is not lower-cased.
        graph: its graph.
        variables: the path of the files of its variables, without the part behind the last dot.
        tensors: the names in the graph of its inputs, called as INPUT_NAMES, of its output pooled_output, and of what
            reads the variables, _FILE and _RESTORE.
    """

    vocabulary: list[str]
    cased: bool
    graph: GraphDef
    variables: str
    tensors: Mapping[str, str]


def is_export(source: pathlib.Path) -> bool:
    """Whether the directory has the layout of an export of Spark NLP's, of any annotator or engine."""
    return (source / "metadata").is_dir() or (source / _VOCABULARY).is_file()


def as_checkpoint(source: pathlib.Path, target: pathlib.Path) -> None:
    """Writes the export in `source` to the existing directory `target`, as a checkpoint in Hugging Face layout.

    What no file tells (the number of heads, the pooling) is tried until the vectors are those of the export's graph.

    Raises:
        ValueError: if it is no export of BertSentenceEmbeddings for TensorFlow, cannot be read, or is no known BERT.
    """
    from safetensors.numpy import save_file

    with tempfile.TemporaryDirectory() as folder:
        is_saved = (source / "metadata").is_dir()
        export = _saved(source, pathlib.Path(folder)) if is_saved else _loadable(source)
        if lacked := [name for name in (*INPUT_NAMES, "pooled_output") if name not in export.tensors]:
            raise ValueError(
                f"expected a graph of input_ids, attention_mask, token_type_ids and pooler_output in {source}, it "
                f"lacks {lacked[0]}; {_REMEDY}, or an encoder of TF-Hub's as --model, with its --preprocessor"
            )
        if missing := [piece for piece in _NEEDED if piece not in export.vocabulary]:
            raise ValueError(f"expected BERT's vocabulary in {source}, it lacks {', '.join(missing)}; {_REMEDY}")
        with failures_of(str(source)):
            tensors = _tensors(export.variables)
            run = _runner(export)
        config = _config(source, export, tensors, run)
    save_file(tensors, target / "model.safetensors")
    described = {"model_type": "bert", "num_attention_heads": config.heads, "hidden_act": config.activation}
    _write_json(target / "config.json", described | {"layer_norm_eps": config.epsilon})
    _write_json(target / "tokenizer_config.json", {"do_lower_case": not export.cased})
    (target / "vocab.txt").write_text("\n".join(export.vocabulary) + "\n", encoding="utf-8")
    if config.pooling != "pooled_output":
        paths = {"Transformer": "", "Pooling": "Pooling"} | ({"Normalize": "Normalize"} if config.normalize else {})
        modules = [{"type": f"sentence_transformers.models.{kind}", "path": path} for kind, path in paths.items()]
        _write_json(target / "modules.json", modules)
        mode = {"mean": "pooling_mode_mean_tokens", "cls": "pooling_mode_cls_token"}[config.pooling]
        (target / "Pooling").mkdir()
        _write_json(target / "Pooling" / "config.json", {mode: True})


def _write_json(path: pathlib.Path, content: object) -> None:
    path.write_text(json.dumps(content), encoding="utf-8")


def _loadable(source: pathlib.Path) -> _Export:
    """The export in a directory that `loadSavedModel` takes."""
    _check_engine(source)
    with failures_of(str(source), str(source)):
        vocabulary = (source / _VOCABULARY).read_text(encoding="utf-8").rstrip("\n").split("\n")
        meta = meta_graph(str(source))
    # No file tells the case; a vocabulary that was made of lower-cased text has no capitals.
    cased = any(piece != piece.lower() for piece in vocabulary if not piece.startswith("["))
    named = [part for each in meta.signature_def.values() for part in (each.inputs, each.outputs)]
    tensors = {key: tensor.name for part in named for key, tensor in part.items()}
    tensors |= {_FILE: meta.saver_def.filename_tensor_name.removesuffix(":0"), _RESTORE: meta.saver_def.restore_op_name}
    return _Export(vocabulary, cased, meta.graph_def, str(source / "variables" / "variables"), _adopted(tensors))


def _saved(source: pathlib.Path, folder: pathlib.Path) -> _Export:
    """The export in a directory that `save` wrote; its archive is unpacked to `folder`."""
    settings = _metadata(source)
    if settings["class"] != _CLASS:
        stages = [str(path) for path in sorted(source.glob("stages/*")) if _metadata(path)["class"] == _CLASS]
        hint = f"pass its stage {stages[0]}" if len(stages) == 1 else "pass the directory of such a model"
        raise ValueError(f"expected an export of {_CLASS}, {source} is one of {settings['class']}; {hint}")
    _check_engine(source)
    archives = list(source.glob("*_tensorflow"))
    if len(archives) != 1:
        raise ValueError(f"expected one *_tensorflow in {source}, found {len(archives)}; copy the export again")
    cased = bool({**settings["defaultParamMap"], **settings["paramMap"]}.get("caseSensitive", False))
    try:
        with zipfile.ZipFile(archives[0]) as archive:
            archive.extractall(folder)
        numbers = dict(_pairs(source / "fields" / "vocabulary"))
        vocabulary = [f"[unused {number}]" for number in range(max(numbers.values(), default=-1) + 1)]
        signatures = _SAVER | (dict(_pairs(source / "fields" / "signatures")) or _SIGNATURES)
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise ValueError(f"expected an export of Spark NLP in {source}, {error}; copy the export again") from error
    # A piece that two lines of the vocabulary held has the number of the last.
    for piece, number in numbers.items():
        vocabulary[number] = piece
    with failures_of(str(source)):
        graph = GraphDef.FromString((folder / "saved_model.pb").read_bytes())
    return _Export(vocabulary, cased, graph, str(folder / "variables"), _adopted(signatures))


def _adopted(tensors: Mapping[str, str]) -> dict[str, str]:
    return {_NAMES.get(name, name): tensor for name, tensor in tensors.items()}


def _metadata(source: pathlib.Path) -> dict[str, Any]:
    """The one line of JSON that Spark ML writes of a stage."""
    parts = sorted((source / "metadata").glob("part-*"))
    try:
        found = json.loads("".join(part.read_text(encoding="utf-8") for part in parts))
        return {"paramMap": {}, "defaultParamMap": {}, "class": found["class"], **found}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"expected metadata/part-* of Spark ML in {source}, could not use it: {error!r}; copy the export again"
        ) from error


def _check_engine(source: pathlib.Path) -> None:
    """Checks that an export is for TensorFlow."""
    for pattern in ("*.onnx", "*_onnx", "*.xml", "*_openvino"):
        if others := sorted(source.glob(pattern)):
            raise ValueError(
                f"expected an export for TensorFlow, {others[0]} is for another engine, whose weights are not read; "
                f"{_REMEDY}"
            )


def _runner(export: _Export) -> Callable[[Array], Array]:
    """A function that runs the graph: from token ids, int32 [1, length], to their vector, float32 [1, dimension]."""
    session = tf.compat.v1.Session(graph=tf.Graph())
    with session.graph.as_default():
        tf.import_graph_def(export.graph, name="")
        session.run(export.tensors[_RESTORE], {f"{export.tensors[_FILE]}:0": export.variables})

    def run(ids: Array) -> Array:
        fed = {}
        for name, value in zip(INPUT_NAMES, (ids, np.ones_like(ids), np.zeros_like(ids)), strict=True):
            tensor = session.graph.get_tensor_by_name(export.tensors[name])
            fed[tensor] = value.astype(tensor.dtype.as_numpy_dtype)
        result: Array = session.run(export.tensors["pooled_output"], fed)
        return result

    return run


def _tensors(variables: str) -> dict[str, Array]:
    """The variables at a path as float32 arrays under Hugging Face's names, with kernels as [out, in]."""
    reader = tf.train.load_checkpoint(variables)
    names = {key: key for key in reader.get_variable_to_shape_map()}
    if _OBJECTS in names:
        nodes = TrackableObjectGraph.FromString(reader.get_tensor(_OBJECTS)).nodes
        names = {each.checkpoint_key: each.full_name for node in nodes for each in node.attributes}
    arrays = {name: reader.get_tensor(key) for key, name in names.items()}
    found = renamed(arrays, TRANSFORMERS_NAMES) | renamed(arrays, EXPORTER_NAMES)
    return {name: np.ascontiguousarray(array, np.float32) for name, array in found.items()}


def _config(
    source: pathlib.Path, export: _Export, tensors: Mapping[str, Array], run: Callable[[Array], Array]
) -> BertConfig:
    """The configuration with which `tensors` give the vectors that `run` does."""
    nodes = [*export.graph.node, *(node for one in export.graph.library.function for node in one.node_def)]
    epsilons = [node.attr["value"].tensor for node in nodes if node.name.endswith("batchnorm/add/y")]
    epsilon = float(tf.make_ndarray(epsilons[0])) if epsilons else 1e-12
    config = BertConfig(0, activation_of(node.op for node in nodes), epsilon, pooling="cls")
    try:
        bert = Bert(tensors, config)
    except KeyError as error:
        raise ValueError(f"expected a BERT in {source}, it lacks {error}; {_REMEDY}") from error
    (words, hidden), positions = bert.words.shape, bert.positions.shape[0]
    random = np.random.default_rng(0)
    texts = [random.integers(words, size=min(length, positions), dtype=np.int32) for length in (3, 8, 24)]
    batch = [np.zeros((len(texts), len(texts[-1])), np.int32) for _ in Batch._fields]
    for row, text in enumerate(texts):
        for part, values in zip(batch, (text, row + 1, np.arange(len(text))), strict=True):
            part[row, : len(text)] = values
    with failures_of(str(source)):
        expected = np.concatenate([run(text[None]) for text in texts]).astype(np.float64)
    sizes = dict.fromkeys((*_HEAD_SIZES, *range(hidden, 0, -1)))
    poolings = _POOLINGS if "pooler.dense.weight" in tensors else _POOLINGS[1:]
    reached, best = -1.0, config
    for size, (pooling, normalize) in itertools.product(sizes, poolings):
        # With small weights, attention is so even that other numbers of heads nearly agree, too.
        if hidden % size == 0 and reached < _EXACT:
            tried = dataclasses.replace(config, heads=hidden // size, pooling=pooling, normalize=normalize)
            found = Bert.sharing(bert, tried).packed_vectors(*batch)
            same = agreement((l2_normalize(found) if normalize else found).numpy(), expected)
            reached, best = max((reached, best), (same, tried), key=lambda pair: pair[0])
    if reached < _SAME:
        raise ValueError(
            f"expected a BERT in {source}, its graph's vectors and those of its weights agree to {reached:.6f} at "
            f"most; {_REMEDY}"
        )
    return best


# What Java writes before a string, and for the number behind it: of the first pair with the classes, then without.
_STRING = re.compile(rb"(?:s(?:r\0\x0cscala\.Tuple2.*?xp|q\0~\0.))?t(..)", re.DOTALL)
_NUMBER = re.compile(rb"s(?:r\0\x11java\.lang\.Integer.*?\0\x10java\.lang\.Number.{11}xp|q\0~\0.)(....)", re.DOTALL)


def _pairs(folder: pathlib.Path) -> Iterator[tuple[str, Any]]:
    """The pairs (a string, and a string or an integer) that Spark's saveAsObjectFile wrote to `folder`."""
    for part in sorted(folder.glob("part-*")):
        for record in _records(part.read_bytes()):
            at = record.index(b"xp") + 6
            while at < len(record):
                key, at = _string(record, at)
                if number := _NUMBER.match(record, at):
                    yield key, int.from_bytes(number[1], "big")
                    at = number.end()
                else:
                    value, at = _string(record, at)
                    yield key, value


def _string(record: bytes, at: int) -> tuple[str, int]:
    """The string that begins at a place of a record, and the place behind it."""
    match = _STRING.match(record, at)
    if not match:
        raise ValueError(f"it has an unknown Java object at byte {at} of a record")
    end = match.end() + int.from_bytes(match[1], "big")
    # Java writes each half of a surrogate pair for itself.
    halves = record[match.end() : end].decode("utf-8", "surrogatepass")
    return halves.encode("utf-16", "surrogatepass").decode("utf-16"), end


def _records(data: bytes) -> Iterator[bytes]:
    """The values of a Hadoop sequence file (version 6) of NullWritable and BytesWritable, neither compressed."""
    header = re.match(
        rb"SEQ\x06!org\.apache\.hadoop\.io\.NullWritable\"org\.apache\.hadoop\.io\.BytesWritable\0\0\0{4}.{16}",
        data,
        re.DOTALL,
    )
    if not header:
        raise ValueError("it has fields that are not Hadoop sequence files of objects")
    at = header.end()
    while at < len(data):
        length = int.from_bytes(data[at : at + 4], "big", signed=True)
        if length < 0:
            # A mark between records, 16 bytes long.
            at += 20
            continue
        # The lengths of the record, of its key and of its value come first.
        yield data[at + 12 : at + 8 + length]
        at += 8 + length
