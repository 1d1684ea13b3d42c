"""`Classifier` as scikit-learn's tools hold it, and where its runs lie."""

from __future__ import annotations

import gc
import pickle
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
import sklearn
import tiny
from PIL import Image
from sklearn.base import clone, is_classifier
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.estimator_checks import check_estimator

import mmtransfer as mmt
from mmtransfer.errors import MMTransferError

X = ["a a b", "m m n", "a b b", "n m m", "b a a", "m n n", "a a a", "n n n"] * 2
Y = [3, 7] * 8
NUMBERS = "it needs a fit to a table of numbers, which holds no text"
EXPECTED = {
    **dict.fromkeys(
        [
            "check_fit_score_takes_y",
            "check_estimators_overwrite_params",
            "check_dont_overwrite_parameters",
            "check_estimators_fit_returns_self",
            "check_readonly_memmap_input",
            "check_n_features_in_after_fitting",
            "check_positive_only_tag_during_fit",
            "check_estimators_dtypes",
            "check_dtype_object",
            "check_pipeline_consistency",
            "check_estimators_pickle",
            "check_f_contiguous_array_estimator",
            "check_classifiers_one_label",
            "check_classifiers_classes",
            "check_classifiers_train",
            "check_supervised_y_2d",
            "check_methods_sample_order_invariance",
            "check_methods_subset_invariance",
            "check_fit2d_1sample",
            "check_fit2d_1feature",
            "check_dict_unchanged",
            "check_fit_idempotent",
            "check_fit_check_is_fitted",
            "check_n_features_in",
            "check_fit2d_predict1d",
        ],
        NUMBERS,
    ),
    **dict.fromkeys(
        ["check_estimators_nan_inf", "check_estimators_empty_data_messages"],
        "it wants words of its own for gaps in a table of numbers, which is refused as a whole",
    ),
    **dict.fromkeys(
        ["check_estimator_sparse_tag", "check_estimator_sparse_array", "check_estimator_sparse_matrix"],
        "a sparse matrix is refused as the table of numbers that it is",
    ),
    "check_classifier_data_not_an_array": "an object that only NumPy can read is no list of texts",
}
"""What of scikit-learn's checks fails, and why."""


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("estimator")
    return str(tiny.bert(folder / "bert", [chr(97 + n) for n in range(26)], weights=True, initializer_range=0.1))


def classifier(bert: str, **settings: Any) -> Any:
    own = {"backbone": bert, "strategy": "linear-probe", "max_length": 16, "threads": 1, "cache": "off"}
    return mmt.Classifier("text", **{**own, **settings})


def test_it_is_fitted_predicts_and_scores(bert: str) -> None:
    made = classifier(bert)
    with pytest.raises(NotFittedError):
        made.predict(X)
    assert made.fit(X, Y) is made and list(made.classes_) == [3, 7] and is_classifier(made)
    found, shares = made.predict(X), made.predict_proba(X)
    assert found.dtype == np.array(Y).dtype and shares.shape == (16, 2) and np.allclose(shares.sum(1), 1)
    assert (made.classes_[shares.argmax(1)] == found).all()
    assert made.score(X, Y) == (found == Y).mean() > 0.9
    assert made.predict(X[:1]).shape == (1,)


@pytest.mark.parametrize("form", [list, np.array, pandas.Series, lambda x: pandas.DataFrame({"text": x, "more": 1})])
def test_inputs_come_in_every_form(bert: str, form: Any) -> None:
    made = classifier(bert).fit(form(X), pandas.Series(np.where(np.array(Y) == 3, "low", "high")))
    assert list(made.classes_) == ["high", "low"] and set(made.predict(form(X))) <= {"high", "low"}


def test_pictures_and_recordings(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    pixels = random.integers(0, 255, (8, 32, 32, 3), np.uint8)
    pixels[::2] //= 4
    made = mmt.Classifier(
        "image", backbone="resnet18", weights="none", strategy="linear-probe", image_size=32, threads=1
    )
    made.fit(pixels, np.arange(8) % 2 == 0)
    assert made.predict(pixels).dtype == bool and made.score(pixels, np.arange(8) % 2 == 0) > 0.9
    assert (made.predict([Image.fromarray(one) for one in pixels]) == made.predict(pixels)).all()
    tiny.speech(tmp_path)
    sounds = [(random.normal(size=3000).astype(np.float32) * (1 + 9 * (n % 2)), 16_000) for n in range(8)]
    heard = mmt.Classifier(
        "audio", backbone=str(tmp_path / "wav2vec2"), weights="none", strategy="linear-probe", threads=1, cache="off"
    )
    assert heard.fit(sounds, list("xy") * 4).predict(sounds).shape == (8,)


def test_parameters_are_settings_and_a_clone_has_them(bert: str) -> None:
    made = classifier(bert, seed=3)
    params = made.get_params()
    assert params["seed"] == 3 and params["strategy"] == "linear-probe" and "train" not in params
    other = clone(made.fit(X, Y)).set_params(seed=4)
    assert other.seed == 4 and made.seed == 3 and not hasattr(other, "run_")
    assert "seed=3" in repr(made) and "momentum" not in repr(made)
    with pytest.raises(TypeError, match="did you mean seed"):
        mmt.Classifier("text", sede=1)
    with pytest.raises(MMTransferError, match="Unknown task 'texts'"):
        mmt.Classifier("texts").fit(X, Y)


def test_pipeline_grid_search_and_cross_validation(bert: str) -> None:
    lower = FunctionTransformer(lambda texts: [text.lower() for text in texts])
    whole = Pipeline([("lower", lower), ("classifier", classifier(bert))])
    shouted = [text.upper() for text in X]
    assert whole.fit(shouted, Y).score(shouted, Y) > 0.9
    searched = GridSearchCV(classifier(bert), {"pooling": ["mean", "cls"]}, cv=2, n_jobs=1).fit(X, Y)
    assert searched.best_params_["pooling"] in ("mean", "cls") and searched.predict(X).shape == (16,)
    assert len(cross_val_score(classifier(bert), X, Y, cv=2, n_jobs=1)) == 2


def test_pickled_it_takes_its_model_along(bert: str, tmp_path: Path) -> None:
    made = classifier(bert).fit(X, Y)
    (tmp_path / "made.pickle").write_bytes(pickle.dumps(made))
    wanted, place = made.predict_proba(X), made.run_.folder.path
    assert place.exists()
    del made
    gc.collect()
    assert not place.parent.exists()  # removed with the estimator
    code = f"""
import pickle
made = pickle.load(open({str(tmp_path / "made.pickle")!r}, "rb"))
print(made.predict_proba({X!r}).tolist(), made.run_.folder.path.exists())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=False)
    found, _, there = done.stdout.strip().rpartition(" ")
    assert there == "True" and np.allclose(np.array(eval(found)), wanted, atol=1e-5), done.stderr[-2000:]
    assert pickle.loads(pickle.dumps(classifier(bert))).get_params() == classifier(bert).get_params()


def test_its_runs_lie_where_they_are_to(bert: str, tmp_path: Path) -> None:
    made = classifier(bert, out=tmp_path / "kept").fit(X, Y)
    made.fit(X, Y)
    assert sorted(path.name for path in (tmp_path / "kept").glob("fit-*")) == ["fit-1", "fit-2"]
    assert made.run_.folder.path == tmp_path / "kept" / "fit-2"
    wanted = made.predict_proba(X)
    del made
    gc.collect()
    kept = mmt.load(tmp_path / "kept" / "fit-2").predict(X)
    assert np.allclose([[one.scores[name] for name in ("3", "7")] for one in kept], wanted, atol=1e-6)


def test_what_cannot_be_fitted_is_refused(bert: str, tmp_path: Path) -> None:
    with pytest.raises(MMTransferError, match="X has 16 inputs and y 15 classes"):
        classifier(bert).fit(X, Y[:15])
    with pytest.raises(ValueError, match="requires y to be passed"):
        classifier(bert).fit(X, None)
    with pytest.raises(ValueError, match="Unknown label type"):
        classifier(bert).fit(X, np.linspace(0, 1, 16))
    with pytest.raises(MMTransferError, match="X cannot be a str"):
        classifier(bert).fit("missing.csv", Y)
    with pytest.raises(MMTransferError, match="X is an array of numbers"):
        classifier(bert).fit(np.ones((16, 3)), Y)


def test_scikit_learns_checks_fail_where_numbers_are_no_inputs(bert: str) -> None:
    class OfNumbers(mmt.Classifier):  # type: ignore[misc,name-defined]
        """Says that it takes a table of numbers: else scikit-learn checks nothing at all."""

        def __init__(self, task: str = "text", out: str | None = None, strategy: str = "linear-probe") -> None:
            super().__init__(task, out=out, strategy=strategy, backbone=bert, threads=1, max_length=16)

        def __sklearn_tags__(self) -> Any:
            tags = super().__sklearn_tags__()
            tags.input_tags.two_d_array, tags.input_tags.one_d_array = True, False
            return tags

    with sklearn.config_context(skip_parameter_validation=True), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = check_estimator(OfNumbers(), expected_failed_checks=EXPECTED, on_fail=None, on_skip=None)
    by_status: dict[str, dict[str, Any]] = {}
    for one in found:
        by_status.setdefault(one["status"], {})[one["check_name"]] = one["exception"]
    assert not by_status.get("failed"), by_status["failed"]
    assert set(by_status["xfail"]) == set(EXPECTED)
    passed = set(by_status["passed"])
    needed = "check_estimator_cloneable check_estimator_repr check_no_attributes_set_in_init check_set_params"
    assert set(needed.split()) <= passed
    with pytest.warns(Warning, match="Can't test estimator Classifier"):
        check_estimator(mmt.Classifier("text"), on_skip=None)
