"""The peers, as a careful user writes them: each trains a network, scores the test set, and prints what it got right.

    python -m benchmarks.first_screen.peers loop train.csv test.csv '{"epochs": 5, "lr": 0.0002}'

All have the same network (MiniLM), the same files, and at most 128 tokens a sentence.
"""

from __future__ import annotations

import csv
import json
import random
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.compute_once import minilm
from benchmarks.speed.peers import best, has_bf16

BATCH, SCORED = 32, 64
"""Sentences of a training step, and of a forward pass over the test set."""
WARM = 0.1
"""The share of the steps in which the rate rises; after it the rate falls linearly to 0."""


def read(path: str) -> tuple[list[str], list[str]]:
    """The texts and the labels of a table with the columns `text` and `category`."""
    with Path(path).open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return [row["text"] for row in rows], [row["category"] for row in rows]


def trainer(train: str, test: str, epochs: int, lr: float | None = None) -> tuple[int, int]:
    """transformers' Trainer; without `lr` as its defaults have it, else at its best: batches of 32 that are grouped by
    length, bf16 where the CPU has it, fused AdamW, warm-up."""
    import datasets
    from transformers import (
        AutoModelForSequenceClassification,
        AutoTokenizer,
        DataCollatorWithPadding,
        Trainer,
        TrainingArguments,
    )

    tokenizer = AutoTokenizer.from_pretrained(minilm(), trust_remote_code=False)
    classes = sorted(set(read(train)[1]))

    def encoded(path: str) -> Any:
        texts, labels = read(path)
        tokens = tokenizer(texts, truncation=True, max_length=128)
        return datasets.Dataset.from_dict({**tokens, "labels": [classes.index(label) for label in labels]})

    rows = encoded(train)
    model = AutoModelForSequenceClassification.from_pretrained(
        minilm(), num_labels=len(classes), trust_remote_code=False
    )
    own: dict[str, Any] = {}
    if lr is not None:
        steps = epochs * len(rows) // BATCH
        own = {**best(0), "learning_rate": lr, "per_device_train_batch_size": BATCH, "warmup_steps": int(WARM * steps)}
    with tempfile.TemporaryDirectory(prefix="trainer-") as place:
        arguments = TrainingArguments(
            output_dir=place,
            num_train_epochs=epochs,
            per_device_eval_batch_size=SCORED,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            use_cpu=True,
            **own,
        )
        collate = DataCollatorWithPadding(tokenizer)
        trained = Trainer(model=model, args=arguments, train_dataset=rows, data_collator=collate)
        trained.train()
        told = trained.predict(encoded(test))
    return int((told.predictions.argmax(1) == told.label_ids).sum()), len(told.label_ids)


def loop(train: str, test: str, epochs: int, lr: float) -> tuple[int, int]:
    """A plain loop of PyTorch in fp32: the mean of the tokens, a linear layer, AdamW."""
    import torch

    (texts, labels), (asked, answers) = read(train), read(test)
    classes = sorted(set(labels))
    encode, body = encoder()
    head = torch.nn.Linear(body.config.hidden_size, len(classes))
    optimizer = torch.optim.AdamW([*body.parameters(), *head.parameters()], lr)
    batches = [batch for _ in range(epochs) for batch in shuffled(len(texts))]
    schedule = falling(optimizer, len(batches))
    body.train()
    for batch in batches:
        targets = torch.tensor([classes.index(labels[place]) for place in batch])
        loss = torch.nn.functional.cross_entropy(head(encode([texts[place] for place in batch])), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    with torch.inference_mode():
        said = head(embedded(encode, body, asked)).argmax(1)
    return sum(classes[place] == answer for place, answer in zip(said, answers, strict=True)), len(answers)


def contrastive(train: str, test: str, rounds: int, lr: float) -> tuple[int, int]:
    """After SetFit (Tunstall et al. 2022), written anew: pairs of sentences, 1 for the same class and 0 for another,
    train the network by the squared error of their cosine; logistic regression on its vectors then learns the classes.

    Args:
        rounds: in each, every sentence gets a partner of its class and one of another (the paper's R is 20).
        lr: of the network; batches of 16 pairs, bf16 where the CPU has it, fused AdamW.
    """
    import torch
    from sklearn.linear_model import LogisticRegression

    (texts, labels), (asked, answers) = read(train), read(test)
    encode, body = encoder()
    optimizer = torch.optim.AdamW(body.parameters(), lr, fused=True)
    pairs = drawn_pairs(labels, rounds)
    batches = [pairs[start : start + BATCH // 2] for start in range(0, len(pairs), BATCH // 2)]
    schedule = falling(optimizer, len(batches))
    body.train()
    for batch in batches:
        wanted = torch.tensor([float(labels[one] == labels[other]) for one, other in batch])
        with torch.autocast("cpu", torch.bfloat16, enabled=has_bf16()):
            vectors = encode([texts[place] for pair in zip(*batch, strict=True) for place in pair]).float()
        likeness = torch.nn.functional.cosine_similarity(*vectors.split(len(batch)))
        optimizer.zero_grad()
        torch.nn.functional.mse_loss(likeness, wanted).backward()
        optimizer.step()
        schedule.step()
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=has_bf16()):
        known, new = (embedded(encode, body, some).float().numpy() for some in (texts, asked))
    said = LogisticRegression().fit(known, labels).predict(new)
    return int((said == answers).sum()), len(answers)


def drawn_pairs(labels: Sequence[str], rounds: int) -> list[tuple[int, int]]:
    """Places of sentences, in random order: in each round every one with a partner of its class and one of another."""
    draw, pairs = random.Random(0), []
    of = {own: [place for place, label in enumerate(labels) if label == own] for own in sorted(set(labels))}
    for place, label in list(enumerate(labels)) * rounds:
        other = draw.choice([own for own in of if own != label])
        pairs += [(place, draw.choice([one for one in of[label] if one != place])), (place, draw.choice(of[other]))]
    draw.shuffle(pairs)
    return pairs


def encoder() -> tuple[Callable[[Sequence[str]], Any], Any]:
    """A function from texts to vectors (batch, width), the mean of their tokens; and the network in it."""
    from transformers import AutoModel, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(minilm(), trust_remote_code=False)
    body = AutoModel.from_pretrained(minilm(), trust_remote_code=False)

    def encode(texts: Sequence[str]) -> Any:
        tokens = tokenizer(list(texts), padding=True, truncation=True, max_length=128, return_tensors="pt")
        mask = tokens["attention_mask"][..., None]
        return (body(**tokens).last_hidden_state * mask).sum(1) / mask.sum(1)

    return encode, body


def embedded(encode: Callable[[Sequence[str]], Any], body: Any, texts: Sequence[str]) -> Any:
    """The vectors of all texts, in their order; those of like length go through the network together."""
    import torch

    body.eval()
    order = sorted(range(len(texts)), key=lambda place: len(texts[place]))
    parts = [encode([texts[place] for place in order[n : n + SCORED]]) for n in range(0, len(order), SCORED)]
    return torch.cat(parts)[torch.tensor(order).argsort()]


def shuffled(count: int) -> list[Any]:
    """The places of an epoch's batches, in a new order each time."""
    import torch

    return list(torch.randperm(count).split(BATCH))


def falling(optimizer: Any, steps: int) -> Any:
    """The schedule that all peers share, but Trainer at its defaults, which has no warm-up."""
    from transformers import get_linear_schedule_with_warmup

    return get_linear_schedule_with_warmup(optimizer, int(WARM * steps), steps)


PEERS: Mapping[str, Callable[..., tuple[int, int]]] = {"trainer": trainer, "loop": loop, "contrastive": contrastive}


def main() -> None:
    import torch

    name, train, test, settings = sys.argv[1:]
    torch.manual_seed(0)
    right, of = PEERS[name](train, test, **json.loads(settings))
    print(json.dumps({"right": right, "of": of}))


if __name__ == "__main__":
    main()
