"""Checkpoints of sentence-transformers are used as they were trained: its vectors, recorded by `reference`, are met."""

import dataclasses
import json
import pathlib
import shutil
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from pipeline import export_encoder
from tests.conftest import DATA
from tests.transforms.encoder.bert.reference import PROMPTS, TEXTS, write
from transforms.encoder.bert.checkpoint import usage_of
from transforms.encoder.catalogue import CARD_FILE, find_model
from transforms.encoder.options import EncoderOptions
from transforms.encoder.text_encoder import TextEncoder, load_encoder, name_and_version

EXPECTED = json.loads((DATA / "sentence_transformers.json").read_text())


def encoder(trained: Callable[[str], str], name: str, **options: Any) -> TextEncoder:
    """The encoder of that pair, which reads as much as its checkpoint allows."""
    path = trained(name)
    return load_encoder(EncoderOptions(path, max_seq_length=find_model(path).max_seq_length, **options))


def assert_same(found: Any, key: str) -> None:
    """As good as the same as what sentence-transformers gave: cosine and length."""
    expected = np.array(EXPECTED[key])
    lengths = np.linalg.norm(found, axis=1), np.linalg.norm(expected, axis=1)
    assert ((found * expected).sum(axis=1) / lengths[0] / lengths[1]).min() > 0.999999
    if len(key.split()) == 2:
        np.testing.assert_allclose(found, expected, atol=2e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "document", "query"),
    [
        ("plain", "none", "none"),
        ("prompts", "passage", "query"),
        ("default", "clustering", "clustering"),
        ("length", "passage", "query"),
        ("tokenizer", "none", "none"),
        ("lower_case", "none", "none"),
        ("cls", "passage", "query"),
        ("no_norm", "passage", "query"),
    ],
)
def test_vectors_are_those_of_sentence_transformers(
    trained: Callable[[str], str], name: str, document: str, query: str
) -> None:
    """Documents and queries, each with its prompt, cut at the length that the checkpoint says."""
    found = encoder(trained, name)
    assert_same(found.encode(TEXTS), f"{name} {document}")
    assert_same(found.encode_document(TEXTS), f"{name} {document}")
    assert_same(found.encode_query(TEXTS), f"{name} {query}")
    assert (found.document_prompt, found.query_prompt) == tuple(PROMPTS.get(prompt, "") for prompt in (document, query))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("prompt", "key"),
    [
        ("query", "prompts query"),
        ("clustering", "prompts clustering"),
        ("none", "prompts none"),
        ("good dog: ", "prompts query"),
    ],
)
def test_another_prompt_may_be_chosen(trained: Callable[[str], str], prompt: str, key: str) -> None:
    """By its name or as a text: for all documents when the model is loaded, for queries when they are encoded."""
    chosen = encoder(trained, "prompts", prompt=prompt)
    assert_same(chosen.encode(TEXTS), key)
    assert_same(chosen.encode_query(TEXTS), "prompts query")
    assert_same(chosen.encode_query(TEXTS, prompt), key)


@pytest.mark.slow
def test_a_prompt_counts_among_the_tokens(trained: Callable[[str], str]) -> None:
    """They are those that the encoder read, and what is cut is the end of the sentence."""
    found = encoder(trained, "length").encode_with_counts(TEXTS)
    # "bad cat ." is before each.
    assert found.tokens.tolist() == [8, 7, 5, 12, 12, 9]
    assert found.truncated.tolist() == [False, False, False, True, True, False]


@pytest.mark.slow
def test_a_word_that_names_no_prompt_is_refused(trained: Callable[[str], str]) -> None:
    """It is taken for a misspelt name rather than for a text."""
    said = "expected {} as clustering, none, passage, query, or a text such as 'query: ', got 'qurey' for prompts"
    with pytest.raises(ValueError, match=f"^{said.format('prompt')}$"):
        TextEncoder(trained("prompts"), max_seq_length=40, prompt="qurey")
    with pytest.raises(ValueError, match=f"^{said.format(chr(39).join(('the query', 's prompt')))}$"):
        encoder(trained, "prompts").encode_query(["dog"], "qurey")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["prompts", "default", "no_norm"])
def test_a_pair_without_its_card_knows_its_prompts(
    trained: Callable[[str], str], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The encoder itself tells them, so vectors and version are the same."""
    told = encoder(trained, name)
    card = pathlib.Path(trained(name)) / CARD_FILE
    kept = card.read_text()
    try:
        card.unlink()
        asked = TextEncoder(trained(name), max_seq_length=40)
    finally:
        card.write_text(kept)
    assert (asked.version, asked.document_prompt, asked.query_prompt) == (
        told.version,
        told.document_prompt,
        told.query_prompt,
    )
    np.testing.assert_array_equal(asked.encode(TEXTS), told.encode(TEXTS))


@pytest.mark.slow
def test_prompts_and_sizes_are_part_of_the_version(trained: Callable[[str], str]) -> None:
    """Each other prompt or size that makes other vectors; the same one under another name is the same version."""
    path = trained("sizes")

    def version(**options: Any) -> str:
        return name_and_version(EncoderOptions(path, max_seq_length=40, **options))[1]

    others: list[dict[str, Any]] = [{"prompt": "query"}, {"prompt": "none"}, {"truncate_dim": 8}, {"truncate_dim": 4}]
    assert len({version(), *(version(**each) for each in others)}) == 5
    assert version() == version(prompt="passage") == version(prompt=PROMPTS["passage"]) == version(truncate_dim=16)
    assert version(prompt="query", truncate_dim=8) == encoder(trained, "sizes", prompt="query", truncate_dim=8).version


@pytest.mark.slow
@pytest.mark.parametrize("field", ["document_prompt", "query_prompt"])
def test_a_card_with_another_prompt_is_another_version(
    trained: Callable[[str], str], tmp_path: pathlib.Path, field: str
) -> None:
    """As what changes vectors is."""
    copied = shutil.copytree(trained("prompts"), tmp_path / "prompts")
    card = json.loads((copied / CARD_FILE).read_text())
    (copied / CARD_FILE).write_text(json.dumps(card | {field: "Dogs! "}))
    asked, told = (name_and_version(EncoderOptions(str(path))) for path in (copied, trained("prompts")))
    assert asked != told


@pytest.mark.slow
def test_a_pair_that_is_exported_again_keeps_its_prompts(trained: Callable[[str], str], tmp_path: pathlib.Path) -> None:
    """And all else that its card says."""
    assert export_encoder.main([f"--model={trained('sizes')}", f"--to={tmp_path / 'sizes'}"]) == 0
    again, first = find_model(str(tmp_path / "sizes")), find_model(trained("sizes"))
    assert dataclasses.replace(again, encoder=first.encoder, preprocessor=first.preprocessor) == first


@pytest.mark.slow
@pytest.mark.parametrize("size", [8, 4])
@pytest.mark.parametrize("prompt", ["none", "passage"])
def test_cut_vectors_are_those_of_sentence_transformers(trained: Callable[[str], str], prompt: str, size: int) -> None:
    """And of length 1 again, as those of the model are."""
    found = encoder(trained, "sizes", prompt=prompt, truncate_dim=size)
    vectors = found.encode(TEXTS)
    assert vectors.shape == (len(TEXTS), found.dimension) == (len(TEXTS), size)
    assert_same(vectors, f"sizes {prompt} {size}")
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)


@pytest.mark.slow
def test_vectors_that_are_not_normalized_are_only_cut(trained: Callable[[str], str]) -> None:
    """Their lengths mean something."""
    whole = encoder(trained, "sizes", normalize=False).encode(TEXTS)
    cut = encoder(trained, "sizes", normalize=False, truncate_dim=8).encode(TEXTS)
    np.testing.assert_array_equal(cut, whole[:, :8])


@pytest.mark.slow
def test_another_size_is_refused(trained: Callable[[str], str]) -> None:
    """The line names those that there are, or that there are none."""
    with pytest.raises(
        ValueError, match="^expected truncate_dim as 8 or 4, the sizes that sizes was trained for, got 5"
    ):
        TextEncoder(trained("sizes"), max_seq_length=40, truncate_dim=5)
    with pytest.raises(ValueError, match="^expected no truncate_dim for plain, which names no sizes .*, got 8; if"):
        TextEncoder(trained("plain"), max_seq_length=40, truncate_dim=8)


@pytest.fixture
def checkpoint(tmp_path: pathlib.Path) -> Callable[..., pathlib.Path]:
    """Writes a checkpoint with prompts; what is given replaces its files."""

    def make(files: dict[str, Any]) -> pathlib.Path:
        write(tmp_path, "prompts")
        for name, content in files.items():
            (tmp_path / name).write_text(content if isinstance(content, str) else json.dumps(content))
        return tmp_path

    return make


def config(**fields: Any) -> dict[str, Any]:
    """The file that says how a checkpoint is to be used."""
    return {"config_sentence_transformers.json": fields}


@pytest.mark.parametrize(
    ("fields", "document", "query"),
    [
        ({}, "", ""),
        ({"prompts": None, "default_prompt_name": None, "similarity_fn_name": None}, "", ""),
        ({"prompts": {"query": "q: "}}, "", "q: "),
        ({"prompts": {"query": "q: "}, "default_prompt_name": "query"}, "", "q: "),
        ({"prompts": {"query": "q: ", "document": "d: ", "passage": "p: "}}, "d: ", "q: "),
        ({"prompts": {"query": "q: ", "document": "", "passage": "p: "}}, "p: ", "q: "),
        ({"prompts": {"query": None, "document": None, "corpus": "c: "}}, "c: ", ""),
        ({"prompts": {"sts": "s: "}}, "", ""),
        ({"prompts": {"sts": "s: "}, "default_prompt_name": "sts"}, "s: ", "s: "),
    ],
)
def test_the_prompts_of_documents_and_queries_are_found(
    checkpoint: Callable[..., pathlib.Path], fields: dict[str, Any], document: str, query: str
) -> None:
    """By sentence-transformers' names for them, or else the default one is both."""
    usage = usage_of(checkpoint(config(**fields)))
    assert (usage.document_prompt, usage.query_prompt) == (document, query)


@pytest.mark.parametrize(
    ("files", "sizes"),
    [
        ({}, ()),
        ({"config.json": {"matryoshka_dimensions": [8, 16, 8]}}, (16, 8)),
        ({"README.md": "```json\n{'matryoshka_dims': [16, 8],}\n```"}, (16, 8)),
        ({"README.md": '    "matryoshka_dims": [\n        8,\n        4\n    ],\n'}, (8, 4)),
        ({"README.md": "It is no Matryoshka."}, ()),
    ],
)
def test_sizes_are_found_where_they_are_named(
    checkpoint: Callable[..., pathlib.Path], files: dict[str, Any], sizes: tuple[int, ...]
) -> None:
    """In the configuration, or in the model card that sentence-transformers writes."""
    assert usage_of(checkpoint(files)).dimensions == sizes


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        (config(prompts=["query: "]), "config_sentence_transformers.json of .* 'list' object"),
        (config(prompts={"query": 7}), "its prompts have 7"),
        (config(prompts={}, default_prompt_name="query"), "it lacks 'query'"),
        (config(similarity_fn_name="hamming"), "names the similarity 'hamming', not one of cosine, dot, eucl"),
        ({"config.json": {"matryoshka_dimensions": [8, "4"]}}, "config.json .*its matryoshka_dimensions have '4'"),
        ({"sentence_bert_config.json": {"max_seq_length": "long"}}, "sentence_bert_config.json .*invalid literal"),
        ({"1_Pooling/config.json": {"pooling_mode": "lasttoken"}}, "expected the pooling mean or cls in .* lasttoken"),
        ({"1_Pooling/config.json": {"pooling_mode": ["mean", "cls"]}}, "expected the pooling .* got mean and cls"),
        ({"1_Pooling/config.json": {}}, "expected the pooling mean or cls in .*, got none"),
        ({"modules.json": []}, "expected the modules Transformer, Pooling and, .*modules.json, got none"),
    ],
)
def test_what_cannot_be_used_is_refused_by_name(
    checkpoint: Callable[..., pathlib.Path], files: dict[str, Any], reason: str
) -> None:
    """In one line."""
    with pytest.raises(ValueError, match=reason) as error:
        usage_of(checkpoint(files))
    assert "\n" not in str(error.value)


FIELDS: list[tuple[str, dict[str, Any], str]] = [
    ("config.json", {"is_decoder": True}, "is_decoder false"),
    ("config.json", {"position_embedding_type": "relative_key"}, 'position_embedding_type "absolute"'),
    ("config.json", {"relative_attention_num_buckets": 64}, "relative_attention_num_buckets 32"),
    ("config.json", {"quantization_config": {"bits": 8}}, "no quantization_config"),
    ("config.json", {"auto_map": {"AutoModel": "own.Model"}}, "no auto_map"),
    ("config_sentence_transformers.json", {"model_type": "SparseEncoder"}, 'model_type "SentenceTransformer"'),
    ("config_sentence_transformers.json", {"truncate_dim": 8}, "no truncate_dim"),
    ("tokenizer_config.json", {"padding_side": "left"}, 'padding_side "right"'),
    ("tokenizer_config.json", {"truncation_side": "left"}, 'truncation_side "right"'),
    ("sentence_bert_config.json", {"transformer_task": "fill-mask"}, 'transformer_task "feature-extraction"'),
    ("sentence_bert_config.json", {"module_output_name": "scores"}, 'module_output_name "token_embeddings"'),
    ("sentence_bert_config.json", {"modality_config": {"message": {}}}, 'modality_config {"text": .*}'),
    ("sentence_bert_config.json", {"query_length": 8}, "no query_length"),
    ("sentence_bert_config.json", {"document_length": 8}, "no document_length"),
    ("sentence_bert_config.json", {"query_expansion": {"length": 32}}, "no query_expansion"),
    ("sentence_bert_config.json", {"processing_kwargs": {"text": {"max_length": 8}}}, "processing_kwargs {}"),
    ("sentence_bert_config.json", {"model_args": {"dtype": "float16"}}, "model_args {}"),
    ("sentence_bert_config.json", {"tokenizer_args": {"do_lower_case": True}}, "tokenizer_args {}"),
    ("sentence_bert_config.json", {"config_args": {"is_decoder": True}}, "config_args {}"),
    ("sentence_roberta_config.json", {"query_length": 8}, "no query_length"),
    ("1_Pooling/config.json", {"pooling_mode": "mean", "include_prompt": False}, "include_prompt true"),
    ("2_Normalize/config.json", {"module_input_name": "tokens"}, 'module_input_name "sentence_embedding"'),
]


@pytest.mark.parametrize(("file", "fields", "expected"), FIELDS)
def test_a_field_that_makes_other_vectors_is_refused_by_name(
    checkpoint: Callable[..., pathlib.Path], file: str, fields: dict[str, Any], expected: str
) -> None:
    """One that is none, or says what is done anyway, is not."""
    path = checkpoint({file: fields})
    with pytest.raises(ValueError, match=f"^expected {expected} in {path / file}, got .*; vectors .* not supported$"):
        usage_of(path)
    (path / file).write_text(json.dumps(dict.fromkeys(fields) | {"pooling_mode": "mean"}))
    usage_of(path)


@pytest.mark.parametrize(
    "mode", ["max", "mean_sqrt_len_tokens", "weightedmean", "lasttoken", ["mean"] * 2, "pooling_mode_max_tokens"]
)
def test_other_poolings_are_refused(checkpoint: Callable[..., pathlib.Path], mode: Any) -> None:
    """Under each of their names."""
    with pytest.raises(ValueError, match="^expected the pooling mean or cls in .*1_Pooling/config.json, got"):
        usage_of(checkpoint({"1_Pooling/config.json": {"pooling_mode": mode}}))


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"path": "0_Transformer"}, "^expected the path of Transformer empty in .*, got '0_Transformer'; load"),
        ({"type": "own.Transformer"}, "^expected the modules Transformer, .* got own.Transformer, Pooling; vectors of"),
    ],
)
def test_another_transformer_module_is_refused(
    checkpoint: Callable[..., pathlib.Path], changed: dict[str, str], reason: str
) -> None:
    """One in another directory, or of other authors."""
    path = checkpoint({})
    modules = json.loads((path / "modules.json").read_text())[:2]
    (path / "modules.json").write_text(json.dumps([modules[0] | changed, modules[1]]))
    with pytest.raises(ValueError, match=reason):
        usage_of(path)


def test_an_adapter_is_refused(checkpoint: Callable[..., pathlib.Path]) -> None:
    """Its weights would have to be added to the model's."""
    with pytest.raises(ValueError, match="^expected whole weights in .*, got an adapter's; merge it"):
        usage_of(checkpoint({"adapter_config.json": {}}))


@pytest.mark.parametrize(
    "kinds",
    [
        ("Transformer", "Normalize", "Pooling"),
        ("Transformer", "Pooling", "Dense"),
        ("Transformer", "Pooling", "Dense", "Normalize"),
        ("Transformer",),
    ],
)
def test_modules_in_another_order_are_refused(checkpoint: Callable[..., pathlib.Path], kinds: tuple[str, ...]) -> None:
    """As the vectors would be others."""
    modules = [{"path": "1_Pooling", "type": f"sentence_transformers.models.{kind}"} for kind in kinds]
    with pytest.raises(ValueError, match=f"in this order, in .*, got {', '.join(kinds)}; "):
        usage_of(checkpoint({"modules.json": modules}))
