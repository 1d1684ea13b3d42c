"""`Classifier`: training and prediction after scikit-learn's way, for pictures, texts and recordings."""

from __future__ import annotations

import inspect
import io
import shutil
import tarfile
import tempfile
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import column_or_1d
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted

from mmtransfer.api import Run, fit, load
from mmtransfer.config import AUDIO, FIELDS, IMAGE, TASKS, TEXT, default_of, reads
from mmtransfer.data import frames, given
from mmtransfer.data.columns import Columns
from mmtransfer.data.kinds import INPUTS
from mmtransfer.data.records import Records
from mmtransfer.errors import MMTransferError, unknown
from mmtransfer.signatures import parameters

KINDS: Mapping[str, str] = {"image": IMAGE, "text": TEXT, "audio": AUDIO}
"""Short names of the tasks."""
OTHERS = {
    *("task", "out", "train", "validation", "test", "test_group", "group_column", "label_column", "label_separator"),
    *("target", "skip_bad", "based_on", "resume", "overwrite"),
}
"""Settings of a run that an estimator does not have: X and y are its data, and a fit is always a new run."""
SETTINGS = tuple(
    name for name in FIELDS if name not in OTHERS and any(reads(name, task) for task in (IMAGE, TEXT, AUDIO))
)
KEPT = ("config.json", "result.json", "environment.json", "model")
"""What of a run is pickled."""


class NoInputs(MMTransferError, ValueError):
    """X and y cannot be fitted: what scikit-learn's tools expect as a ValueError."""


class Classifier(ClassifierMixin, BaseEstimator):
    """A classifier of pictures, texts or recordings that scikit-learn's tools can hold.

    Args:
        task: `image`, `text` or `audio` (or their whole names, such as text-classification).
        out: folder that keeps the runs, each fit in one of its own, OUT/fit-1, OUT/fit-2, ..., until somebody removes
            it. None: a run lies in a folder of the system for temporary files, and is removed with the estimator.
        settings: every setting of `fit` that such a task reads, by name, such as backbone, strategy, epochs, lr, seed.

    X is a list, array, Series or DataFrame of inputs as `Run.predict` takes them, y one class each: of any type that
    NumPy sorts. Fitted it has `classes_`, and `run_`, the `Run`, whose `run_.folder.path` says where it lies. Pickled
    it takes its model along, and needs its folder no more.

    >>> classifier = mmt.Classifier("text", backbone="path/to/bert", strategy="linear-probe", threads=1)
    >>> X, y = ["a good film", "an awful book", "a great play", "a bad song"] * 5, [1, 0, 1, 0] * 5
    >>> classifier.fit(X, y).predict(["a good tune", "an awful voice"])
    array([1, 0])
    >>> classifier.predict_proba(["a good tune"]).shape, classifier.score(X, y)
    ((1, 2), 1.0)
    """

    def __init__(self, task: str = "image", out: str | Path | None = None, **settings: Any) -> None:
        for name in settings:
            if name not in SETTINGS:
                raise TypeError(str(unknown("setting", name, SETTINGS, "Classifier(...)")))
        self.task, self.out = task, out
        for name in SETTINGS:
            setattr(self, name, settings.get(name, _default(name)))

    def fit(self, X: Any, y: Any) -> Classifier:
        """Trains on inputs X and classes y of the same number; a tenth of them is held out to choose the best epoch.

        Raises MMTransferError for inputs that cannot be read; one that is a ValueError as well where X and y differ in
        length, or X holds none.
        """
        if y is None:
            raise ValueError("Classifier requires y to be passed, but the target y is None")
        labels = column_or_1d(y, warn=True)
        check_classification_targets(labels)
        self.classes_, numbers = np.unique(labels, return_inverse=True)
        names = self._names()
        train, own = self._examples(X, [names[number] for number in numbers])
        chosen = {name: getattr(self, name) for name in SETTINGS if not _is_default(name, getattr(self, name))}
        folder = Path(tempfile.mkdtemp(prefix="mmtransfer-") if self.out is None else self.out)
        try:
            self.run_: Run = fit(task=self._task(), train=train, out=str(_next(folder)), **chosen, **own)
        except BaseException:
            if self.out is None:
                shutil.rmtree(folder, ignore_errors=True)
            raise
        if self.out is None:
            _remove_with(self.run_, folder)
        return self

    def predict(self, X: Any) -> np.ndarray:
        """The class of each input, (n,), of the type that y had."""
        found = self._predictions(X)
        numbers = {name: number for number, name in enumerate(self._names())}
        return np.asarray(self.classes_[[numbers[one.label] for one in found]])

    def predict_proba(self, X: Any) -> np.ndarray:
        """The probability of each class, (n, classes), in the order of `classes_`; above 1,000 classes those of the
        best five, and zeros."""
        found = self._predictions(X)
        names = self._names()
        return np.array([[one.scores.get(name, 0.0) for name in names] for one in found], np.float64)

    def _predictions(self, X: Any) -> list[Any]:
        check_is_fitted(self, "run_")
        found = self.run_.predict(X)
        return found if isinstance(found, list) else [found]

    def _names(self) -> list[str]:
        """The classes as labels of a run: as text, where that tells them apart."""
        names = [str(value) for value in self.classes_.tolist()]
        return names if len(set(names)) == len(names) else [repr(value) for value in self.classes_.tolist()]

    def _task(self) -> str:
        task = KINDS.get(self.task, self.task)
        if task not in KINDS.values():
            raise unknown("task", self.task, [*KINDS, *KINDS.values()], "Classifier(task=...)")
        return task

    def _examples(self, X: Any, labels: list[str]) -> tuple[Any, dict[str, Any]]:
        """Inputs with their labels as `fit` takes them, and the settings that say where the labels are."""
        kind = INPUTS[TASKS[self._task()].input]
        if not kind.in_files and getattr(getattr(X, "dtype", None), "kind", "O") in "biufc":
            raise NoInputs("X is an array of numbers, and no texts", "X", "give a list of texts, one an example")
        inputs = given.gather(X, kind, Columns())[0]
        if frames.is_frame(inputs) or isinstance(inputs, Mapping):
            table = frames.rows_of(inputs, "X")
            assert isinstance(table, Records)
            _refuse_other_length(len(table), len(labels))
            name = next(name for name in ("label", "label_", "label__") if name not in table.header)
            return {**{own: table.column(own) for own in table.header}, name: labels}, {"label_column": name}
        if not isinstance(inputs, list | tuple):
            raise NoInputs(
                f"X cannot be a {type(X).__name__}", "X", "give a list, an array, a series or a frame of inputs"
            )
        _refuse_other_length(len(inputs), len(labels))
        rows = zip(inputs, labels, strict=True)
        if all(isinstance(row, dict) for row in inputs):
            return [{**row, "label": label} for row, label in rows], {"label_column": "label"}
        return list(rows), {}

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False  # a table of numbers is no picture, text or recording
        tags.input_tags.one_d_array = tags.input_tags.string = KINDS.get(self.task, self.task) == TEXT
        tags.target_tags.required = True
        return tags

    def __getstate__(self) -> dict[str, Any]:
        state = dict(super().__getstate__())
        run = state.pop("run_", None)
        return state if run is None else {**state, "_packed": _pack(run.folder.path)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        packed = state.pop("_packed", None)
        super().__setstate__(state)
        if packed is not None:
            folder = Path(tempfile.mkdtemp(prefix="mmtransfer-"))
            with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
                archive.extractall(folder / "fit-1", filter="data")
            self.run_ = load(folder / "fit-1")
            _remove_with(self.run_, folder)


def _default(name: str) -> Any:
    return None if name == "strategy_options" else default_of(name)


def _is_default(name: str, value: Any) -> bool:
    return value is None or (isinstance(value, type(_default(name))) and bool(value == _default(name)))


def _refuse_other_length(inputs: int, labels: int) -> None:
    if inputs != labels:
        raise NoInputs(f"X has {inputs} inputs and y {labels} classes", "X, y", "give one class for each input")


def _next(folder: Path) -> Path:
    """The first of FOLDER/fit-1, FOLDER/fit-2, ... that is not there."""
    number = 1
    while (folder / f"fit-{number}").exists():
        number += 1
    return folder / f"fit-{number}"


def _remove_with(run: Run, folder: Path) -> None:
    """Removes a temporary folder when nobody holds the run any more, at the latest when the process ends."""
    weakref.finalize(run, shutil.rmtree, folder, ignore_errors=True)


def _pack(folder: Path) -> bytes:
    """What a run needs to predict, as the bytes of a tar file."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", dereference=True) as archive:
        for name in KEPT:
            if (folder / name).exists():
                archive.add(folder / name, name)
    return packed.getvalue()


# scikit-learn reads the parameters of an estimator from its signature
Classifier.__init__.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
    [
        inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD),
        inspect.Parameter("task", inspect.Parameter.POSITIONAL_OR_KEYWORD, default="image", annotation=str),
        *parameters(("out", *SETTINGS), {"out": None, "strategy_options": None}),
    ]
)
