"""Write checkpoints of each kind with random weights, by transformers and sentence-transformers themselves.

python -m tests.benchmarks.random_checkpoints [KIND ...]

It makes tests/data/kinds: a small checkpoint of each kind, or of these, and what sentence-transformers gives with it.
"""

from __future__ import annotations

import json
import pathlib
import sys
import tarfile
import tempfile
from typing import Any, NamedTuple

from tests.conftest import DATA
from tests.texts import own_texts


class Size(NamedTuple):
    """How large a checkpoint is."""

    layers: int
    hidden: int
    heads: int
    tokens: int


TINY = Size(2, 16, 2, 400)
# As all-MiniLM-L6-v2's.
SMALL = Size(6, 384, 12, 30_000)


def wordpiece(tokens: int, texts: list[str], start: str, end: str, padding: str) -> Any:
    """A tokenizer as BERT's, with these special tokens."""
    from tokenizers import BertWordPieceTokenizer
    from tokenizers.processors import BertProcessing

    made = BertWordPieceTokenizer(sep_token=end, cls_token=start, pad_token=padding)
    special = [start, padding, end, "[UNK]", "[MASK]"]
    made.train_from_iterator(texts, tokens, min_frequency=1, special_tokens=special, show_progress=False)
    made.post_processor = BertProcessing((end, made.token_to_id(end)), (start, made.token_to_id(start)))
    return made


def byte_pairs(tokens: int, texts: list[str]) -> Any:
    """A tokenizer as RoBERTa's."""
    from tokenizers import ByteLevelBPETokenizer
    from tokenizers.processors import RobertaProcessing

    made = ByteLevelBPETokenizer()
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    made.train_from_iterator(texts, tokens, min_frequency=1, special_tokens=special, show_progress=False)
    made.post_processor = RobertaProcessing(("</s>", 2), ("<s>", 0))
    return made


def unigrams(tokens: int, texts: list[str]) -> Any:
    """A tokenizer as XLM-R's."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

    made = Tokenizer(models.Unigram())
    made.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(" {2,}", " ")])
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    trainer = trainers.UnigramTrainer(vocab_size=tokens, special_tokens=special, unk_token="<unk>", show_progress=False)
    made.train_from_iterator(texts, trainer)
    made.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)])
    return made


TOKENIZERS = {
    "bert": lambda tokens, texts: wordpiece(tokens, texts, "[CLS]", "[SEP]", "[PAD]"),
    "camembert": unigrams,
    "distilbert": lambda tokens, texts: wordpiece(tokens, texts, "[CLS]", "[SEP]", "[PAD]"),
    "mpnet": lambda tokens, texts: wordpiece(tokens, texts, "<s>", "</s>", "<pad>"),
    "roberta": byte_pairs,
    "xlm-roberta": unigrams,
}


def write(kind: str, path: pathlib.Path, size: Size, texts: list[str]) -> Any:
    """Write a checkpoint of `kind`, with a tokenizer trained on `texts`, and return it as it is loaded again."""
    import torch
    from sentence_transformers import SentenceTransformer, models
    from transformers import AutoConfig, AutoModel, PreTrainedTokenizerFast

    torch.manual_seed(0)
    tokenizer = TOKENIZERS[kind](size.tokens, texts)
    special = {"pad_token": next(token for token in ("<pad>", "[PAD]") if tokenizer.token_to_id(token) is not None)}
    config = AutoConfig.for_model(
        kind,
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=size.hidden,
        num_hidden_layers=size.layers,
        num_attention_heads=size.heads,
        intermediate_size=2 * size.hidden if size is TINY else 4 * size.hidden,
        # DistilBERT's own name for it.
        hidden_dim=2 * size.hidden if size is TINY else 4 * size.hidden,
        max_position_embeddings=130,
        type_vocab_size=2 if kind == "bert" else 1,
        initializer_range=0.5 / size.hidden**0.5,
    )
    model = AutoModel.from_config(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter)).copy_(parameter.half().float())
    with tempfile.TemporaryDirectory() as folder:
        model.half().save_pretrained(folder)
        wrapped = getattr(tokenizer, "_tokenizer", tokenizer)
        PreTrainedTokenizerFast(tokenizer_object=wrapped, model_max_length=128, **special).save_pretrained(folder)
        transformer = models.Transformer(folder, max_seq_length=128)
    SentenceTransformer(modules=[transformer, models.Pooling(size.hidden, "mean")], device="cpu").save(str(path))
    return SentenceTransformer(str(path), device="cpu", model_kwargs={"dtype": torch.float32})


def main() -> None:
    """Write tests/data/kinds."""
    folder, texts = DATA / "kinds", own_texts()
    folder.mkdir(exist_ok=True)
    for kind in sys.argv[1:] or TOKENIZERS:
        with tempfile.TemporaryDirectory() as made:
            vectors = write(kind, pathlib.Path(made), TINY, texts).encode(texts, batch_size=8)
            rounded = [[round(float(number), 6) for number in vector] for vector in vectors]
            pathlib.Path(made, "reference.json").write_text(json.dumps(rounded))
            with tarfile.open(folder / f"{kind}.tar.gz", "w:gz") as archive:
                archive.add(made, kind)


if __name__ == "__main__":
    main()
