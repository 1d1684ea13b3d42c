"""The tables of a run: what is given, cut, left out and made smaller, in that order."""

from __future__ import annotations

import logging
from collections import Counter
from types import MappingProxyType

import numpy as np
import pytest

from mmtransfer.config import IMAGE, SPEECH, TEXT, make
from mmtransfer.data.assembly import assemble
from mmtransfer.data.sources import Columns
from mmtransfer.errors import MMTransferError

ROWS = [{"text": f"t{n}", "label": "xyz"[n % 3], "author": f"a{n % 10}"} for n in range(120)]


def tables(more=MappingProxyType({}), **settings):
    config = make({"task": TEXT, "train": ROWS, **settings}, "a test")
    return assemble(config, "text", Columns(group=config.group_column), **more)


@pytest.fixture(autouse=True)
def aloud(caplog):
    caplog.set_level(logging.INFO, "mmtransfer")


def test_validation_is_cut_from_training(caplog):
    made = tables()
    assert {name: len(table) for name, table in made.items()} == {"train": 108, "validation": 12}
    assert "12 of 120 training examples held out for validation" in caplog.text


@pytest.mark.parametrize(
    ("settings", "n"), [({}, 120), ({"fraction": 0.25}, 30), ({"shots": 3}, 9), ({"shots": 100}, 120)]
)
def test_nothing_is_cut_where_what_is_left_needs_no_validation_data(settings, n):
    asked = []
    made = tables({"validate": lambda left: asked.append(left)}, **settings)
    assert {name: len(table) for name, table in made.items()} == {"train": n} and asked == [n]
    given = tables({"validate": lambda left: asked.append(left)}, validation=ROWS[:30], **settings)
    assert set(given) == {"train", "validation"} and len(asked) == 1


def test_shots_leave_the_validation_split_but_cap_it(caplog):
    whole, few, more = tables(), tables(shots=2), tables(shots=10)
    assert Counter(few["train"].column("label")) == {"x": 2, "y": 2, "z": 2}
    assert set(few["train"].ids) < set(more["train"].ids) < set(whole["train"].ids)
    assert len(few["validation"]) == 6 and set(few["validation"].ids) < set(whole["validation"].ids)
    assert more["validation"].ids == whole["validation"].ids
    assert "training on 6 of the 108 training examples" in caplog.text
    assert "validation: 6 of 12 examples, no more than there are to train on" in caplog.text
    own = tables(shots=1, validation=ROWS[:30])
    assert len(own["train"]) == 3 and len(own["validation"]) == 30


def test_another_seed_draws_other_shots():
    assert tables(shots=2)["train"].ids == tables(shots=2)["train"].ids
    assert tables(shots=2)["train"].ids != tables(shots=2, seed=1)["train"].ids


def test_a_fraction_of_training():
    made = tables(fraction=0.25)
    assert Counter(made["train"].column("label")) == {"x": 9, "y": 9, "z": 9} and len(made["validation"]) == 12


def test_named_groups_are_whole_and_guessed_ones_are_not(caplog):
    made = tables(group_column="author", validation_fraction=0.2)
    assert not set(made["train"].column("group")) & set(made["validation"].column("group"))
    assert "24 of 120 training examples held out for validation: 2 of 10 groups" in caplog.text
    clips = [{"audio": np.ones(160, np.float32), "text": "a", "speaker": f"s{n % 2}"} for n in range(40)]
    config = make({"task": SPEECH, "train": clips}, "a test")
    guessed = assemble(config, "audio", Columns())
    assert set(guessed["train"].column("speaker")) & set(guessed["validation"].column("speaker"))


def test_one_group_is_the_test_set(caplog):
    made = tables(group_column="author", test_group="a3")
    assert set(made["test"].column("group")) == {"a3"} and len(made["test"]) == 12
    assert "a3" not in {*made["train"].column("group"), *made["validation"].column("group")}
    assert sum(map(len, made.values())) == 120 and "shares" not in caplog.text


def test_a_test_set_that_shares_groups_is_told(caplog):
    tables(group_column="author", test=ROWS[:5], validation=[{**ROWS[0], "author": "new"}])
    assert "--test shares 5 of its 5 groups with the training data" in caplog.text
    assert "--validation shares" not in caplog.text


def test_minutes_of_speech():
    clips = [{"audio": np.ones(16_000, np.float32), "text": "a", "speaker": f"s{n % 4}"} for n in range(40)]
    config = make({"task": SPEECH, "train": clips, "shots_minutes": 0.2}, "a test")
    made = assemble(config, "audio", Columns())
    assert Counter(made["train"].column("speaker")) == {"s0": 3, "s1": 3, "s2": 3, "s3": 3}
    shots = make({"task": SPEECH, "train": clips, "shots": 5}, "a test")
    assert len(assemble(shots, "audio", Columns())["train"]) == 5


def test_the_limit_of_seconds_reaches_the_sources():
    clips = [(np.ones(16_000 * n, np.float32), "a") for n in (1, 2, 3)]
    config = make({"task": SPEECH, "train": clips, "max_seconds": 2.0}, "a test")
    with pytest.raises(MMTransferError, match="row 2: 3.0 s are more than max_seconds=2"):
        assemble(config, "audio", Columns())


def test_built_in_data_bring_their_test_part():
    made = assemble(make({"task": IMAGE, "train": "builtin:digits"}, "a test"), "image", Columns())
    config = make({"task": IMAGE, "train": "builtin:digits", "group_column": "writer"}, "a test")
    with pytest.raises(MMTransferError, match="The training data has no groups") as error:
        assemble(config, "image", Columns(group="writer"))
    assert error.value.where == "--group-column writer of builtin:digits"
    assert len(made["test"]) == 359 and len(made["train"]) + len(made["validation"]) == 1438
