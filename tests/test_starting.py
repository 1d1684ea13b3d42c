"""The start of a verb: pyarrow is kept from pandas, and whoever needs it still gets it."""

from __future__ import annotations

import subprocess
import sys


def test_arrays_are_made_without_pandas_which_is_there_when_asked_for() -> None:
    code = """
import gc, sys
from mmtransfer.cli.starting import quickly
with quickly():
    assert not gc.isenabled()
    import pyarrow
assert gc.isenabled() and gc.get_freeze_count() > 1000
table = pyarrow.table({"a": ["x", None]})
assert "pandas" not in sys.modules
assert table.to_pandas()["a"].tolist()[0] == "x"
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
