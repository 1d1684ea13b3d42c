"""`mmtransfer cache ls|rm`: stored features of frozen stages, decoded examples, and tables that were unpacked."""

from __future__ import annotations

import dataclasses
from typing import Literal

import tyro

from mmtransfer.cli.layout import show_json, show_rows
from mmtransfer.cli.words import parse
from mmtransfer.terminal import visible


@dataclasses.dataclass(frozen=True)
class Words:
    """What can be said after the verb."""

    action: tyro.conf.Positional[Literal["ls", "rm"]]
    """ls lists the entries, oldest first; rm removes them."""
    keys: tyro.conf.Positional[tuple[str, ...]] = ()
    """Beginnings of the keys to remove; all entries if there are none."""
    cache_dir: str | None = None
    """Folder of the states; $MMTRANSFER_CACHE, or `mmtransfer` in the user's cache folder, if None."""
    json: bool = False
    """Print JSON instead of a table: the folder and its entries, or the bytes that were freed."""


def run(words: list[str]) -> None:
    """Lists or removes entries."""
    said = parse(
        Words,
        words,
        "cache",
        "Stored features of frozen stages, decoded examples, and Parquet files of images or recordings, unpacked.",
    )
    from mmtransfer.cache.settings import make

    store = make("auto", said.cache_dir, 0).store
    if said.action == "rm":
        freed = store.remove(list(said.keys))
        if said.json:
            show_json({"folder": store.root, "freed_bytes": freed})
        else:
            print(visible(f"{freed / 1e6:.1f} MB freed in {store.root}"))
        return
    if said.json:
        show_json({"folder": store.root, "bytes": store.bytes(), "entries": store.listing()})
        return
    columns = ("key", "state", "MB", "task", "split", "backbone", "cut", "rows")
    rows = [
        [entry["key"][:12], entry["state"], f"{entry['bytes'] / 1e6:.1f}"]
        + [str(entry.get(name, "-")) for name in columns[3:]]
        for entry in store.listing()
    ]
    if not rows:
        print(visible(f"{store.root}: nothing is stored"))
        return
    show_rows(f"{store.root}: {store.bytes() / 1e6:.1f} MB", columns, rows, numbers=("MB", "rows"))
