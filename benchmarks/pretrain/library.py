"""Makes the built-in text data: which part of Python's standard library does this docstring document?

    python -m benchmarks.pretrain.library       # writes mmtransfer/data/builtin_library.parquet; Python 3.11

Docstrings of the modules of AREAS and of what they define, the first paragraph of prose of each, one of those that
share a text. A tenth part of what an area may have is for training: learning from few examples is what transfer is for.
The docstrings are under the licence of Python (PSF License Agreement, Copyright Python Software Foundation).
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pyarrow as pa
import pyarrow.parquet

from mmtransfer.data.builtin import LIBRARY
from mmtransfer.seeding import generator, identity

AREAS: dict[str, str] = {
    "text": "string re textwrap difflib codecs unicodedata gettext locale html pprint shlex cmd stringprep"
    " encodings.idna encodings.punycode sre_parse readline rlcompleter",
    "numbers": "math cmath decimal fractions statistics random numbers secrets operator",
    "dates": "datetime time calendar zoneinfo sched _strptime",
    "files": "pathlib shutil tempfile zipfile tarfile gzip bz2 lzma io glob filecmp fileinput posixpath ntpath fnmatch"
    " stat linecache mmap",
    "network": "socket ssl http urllib email smtplib imaplib ftplib poplib socketserver xmlrpc ipaddress nntplib"
    " telnetlib wsgiref cgi mailbox",
    "concurrency": "threading multiprocessing concurrent asyncio queue subprocess contextvars signal selectors",
    "containers": "collections heapq bisect array enum dataclasses copy weakref types graphlib itertools functools",
    "testing": "unittest doctest pdb bdb trace traceback timeit cProfile pstats tracemalloc faulthandler warnings",
    "code": "ast inspect importlib tokenize dis symtable typing pkgutil compileall codeop code modulefinder"
    " pyclbr zipimport lib2to3",
    "graphics": "tkinter turtle curses colorsys",
}
"""Modules (with what is below them) by area."""
TRAIN, TEST = 30, 150
"""Docstrings of an area in each part, as far as there are so many."""
LEAST, MOST = 6, 80
"""Words of a docstring."""


def docstrings(name: str) -> Iterator[tuple[str, str]]:
    """(qualified name, first paragraph of prose) of a module, its submodules, and all they define, private ones not."""
    for module in modules(name):
        yield from _documented(module.__name__, module)
        for owner, value in sorted(vars(module).items(), key=lambda item: item[0]):
            if owner.startswith("_") or getattr(value, "__module__", None) != module.__name__:
                continue
            yield from _documented(f"{module.__name__}.{owner}", value)
            for member, inner in sorted(vars(value).items()) if inspect.isclass(value) else ():
                if not member.startswith("_"):
                    yield from _documented(f"{module.__name__}.{owner}.{member}", inner)


def modules(name: str) -> Iterator[ModuleType]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # telnetlib and others say that they will go
        module = importlib.import_module(name)
        yield module
        for found in pkgutil.iter_modules(getattr(module, "__path__", ())):
            if not found.name.startswith(("_", "test")) and found.name not in ("popen_spawn_win32", "windows_events"):
                try:
                    yield from modules(f"{name}.{found.name}")
                except (ImportError, OSError):
                    continue


def _documented(name: str, value: Any) -> Iterator[tuple[str, str]]:
    text = getattr(value, "__doc__", None)
    for paragraph in re.split(r"\n\s*\n", inspect.cleandoc(text)) if isinstance(text, str) else ():
        prose = " ".join(line for line in paragraph.split("\n") if not line.lstrip().startswith((">>>", "..", "|")))
        prose = " ".join(prose.split())
        if LEAST <= len(prose.split()) <= MOST and sum(c.isalpha() or c == " " for c in prose) > 0.85 * len(prose):
            yield name, prose
            return


def rows() -> list[dict[str, str]]:
    """id, text, label and split of every example; the same on every machine with the same Python."""
    seen: set[str] = set()
    found: list[dict[str, str]] = []
    for area, modules in AREAS.items():
        drafts = []
        for name in modules.split():
            for qualified, text in docstrings(name):
                key = re.sub(r"\W+", " ", text.lower())
                if key not in seen:
                    seen.add(key)
                    drafts.append({"id": f"library/{qualified}", "text": text, "label": area})
        order = generator(0, "split", identity(area)).permutation(len(drafts))[: TRAIN + TEST]
        found += [drafts[n] | {"split": "train" if place < TRAIN else "test"} for place, n in enumerate(order)]
    return sorted(found, key=lambda row: row["id"])


def main() -> None:
    made = rows()
    folder = Path(__file__).parents[2] / "mmtransfer" / "data"
    note = f"Docstrings of Python {sys.version.split()[0]}, PSF License Agreement, (c) Python Software Foundation"
    table = pa.Table.from_pylist(made).replace_schema_metadata({"source": note})
    pyarrow.parquet.write_table(table, folder / LIBRARY, compression="zstd")
    for area in AREAS:
        print(area, *(sum(row["label"] == area and row["split"] == part for row in made) for part in ("train", "test")))


if __name__ == "__main__":
    main()
