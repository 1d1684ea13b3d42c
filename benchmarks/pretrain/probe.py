"""What frozen features are worth: logistic regression on them, scored on data that pretraining has not seen."""

from __future__ import annotations

import numpy as np

from mmtransfer.metrics import Score, wilson

STRENGTHS = (0.1, 1.0, 10.0, 100.0)
"""Inverse penalties tried, on a tenth of the training data."""


def probe(train: np.ndarray, labels: list[str], test: np.ndarray, wanted: list[str]) -> Score:
    """Accuracy on `test` (n, width) of multinomial logistic regression on `train`; features get one common scale."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import train_test_split

    mean = train.mean(0)
    scale = float((train - mean).std())
    train, test = (train - mean) / scale, (test - mean) / scale
    fit_x, held_x, fit_y, held_y = train_test_split(train, labels, test_size=0.1, random_state=0, stratify=labels)

    def fitted(strength: float, x: np.ndarray, y: list[str]) -> LogisticRegression:
        return LogisticRegression(C=strength, max_iter=300).fit(x, y)

    best = max(STRENGTHS, key=lambda strength: fitted(strength, fit_x, fit_y).score(held_x, held_y))
    right = fitted(best, train, labels).predict(test) == np.asarray(wanted)
    return wilson(int(right.sum()), len(wanted))


def row(name: str, scores: list[Score]) -> str:
    """A row of a card's table."""
    cells = [f"{score:.3f}" for score in scores]
    return f"| {' | '.join([name, *cells])} |"
