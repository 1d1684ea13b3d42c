"""States at a cut, for every example of a split: in memory, or memory-mapped from shards on disk.

A shard is a safetensors file of about 64 MiB with the rows of some batches, back to back:
  x        (rows, ...), or (positions of all rows, ...) where lengths vary
  rows     (rows,) int64, numbers of the examples
  offsets  (rows + 1,) int64, where lengths vary: row i is x[offsets[i]:offsets[i + 1]]
Which batches a shard holds, and their order, is a pure function of the split and of the cut: a build that was killed
anywhere goes on with the first missing shard to the very same bytes. A shard's digest is that of the bytes that were
written: it is taken while they are, kept in plan.json until the index has it, and checked when an entry is opened.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from mmtransfer import documents, files, tensorfile
from mmtransfer.backbones.staged import State
from mmtransfer.cache.store import FORMAT, INDEX, discard
from mmtransfer.data.plan import Indices

SHARD_BYTES = 64 * 2**20
PLAN = "plan.json"
DIGESTS = 4
"""Threads that check shards; hashing releases Python's lock."""

Pass = Callable[[list[Indices]], Iterator[tuple[Indices, State]]]
"""Batches of example numbers -> each batch's numbers and its state at the cut, in the same order."""


class Damaged(Exception):
    """What is wrong with an entry."""


class Features:
    """States at a cut by example number.

    Args:
        cut: stages that are behind the states; one more than there are for what the head sees.
        parts: tensors that hold the rows, (rows, ...) or (positions, ...).
        place: (n, 2) int64: the part of each example and its first row or position there.
        lengths: (n,) int64 positions of each example; None where all have one size.
        files: the shards that the parts are mapped from; none where they are in memory.
    """

    def __init__(
        self,
        cut: int,
        parts: Sequence[Tensor],
        place: np.ndarray,
        lengths: np.ndarray | None,
        files: Sequence[Path] = (),
    ) -> None:
        self.cut, self.parts, self.place, self.lengths, self.files = cut, list(parts), place, lengths, list(files)
        ordered = lengths is None and len(self.parts) == 1 and bool((place[:, 1] == np.arange(len(place))).all())
        self._rows = self.parts[0] if ordered else None

    def __len__(self) -> int:
        return len(self.place)

    @property
    def bytes(self) -> int:
        return sum(part.numel() * part.element_size() for part in self.parts)

    def state(self, indices: Sequence[int]) -> State:
        """The states of these examples as a batch, padded with zeros."""
        if self._rows is not None:
            return {"x": self._rows[torch.as_tensor(indices)]}
        if self.lengths is None:
            return {"x": torch.stack([self.row(index) for index in indices])}
        return {
            "x": pad_sequence([self.row(index) for index in indices], batch_first=True),
            "lengths": torch.from_numpy(self.lengths[np.asarray(indices)]),
        }

    def matrix(self) -> Tensor:
        """All states of one size, (n, width), in the order of the examples; a copy unless they lie so already."""
        if self._rows is not None:
            return self._rows
        x = torch.empty((len(self), *self.parts[0].shape[1:]), dtype=self.parts[0].dtype)
        for number, part in self._in_turn():  # by shard: a view of each row would take as much again
            rows = np.flatnonzero(self.place[:, 0] == number)
            x[torch.from_numpy(rows)] = part[torch.from_numpy(self.place[rows, 1])]
        return x

    def resident(self) -> Features:
        """The same in memory, as one tensor: in the order of the examples where all have one size, else back to back
        as in the parts."""
        if self.lengths is None:
            place = np.stack([np.zeros(len(self), np.int64), np.arange(len(self))], 1)
            return Features(self.cut, [self.matrix()], place, None)
        starts = np.cumsum([0, *map(len, self.parts)])
        x = torch.empty((int(starts[-1]), *self.parts[0].shape[1:]), dtype=self.parts[0].dtype)
        for number, part in self._in_turn():
            x[starts[number] : starts[number + 1]] = part
        place = np.stack([np.zeros(len(self), np.int64), self.place[:, 1] + starts[self.place[:, 0]]], 1)
        return Features(self.cut, [x], place, self.lengths)

    def _in_turn(self) -> Iterator[tuple[int, Tensor]]:
        """The parts with their numbers. Mapped ones are mapped anew: pages that are read through the mapping that stays
        would be counted as this process's memory for as long, once more the size of all states."""
        if not self.files:
            yield from enumerate(self.parts)
        for number, path in enumerate(self.files):
            try:
                yield number, _read(path)["x"]
            except OSError:  # removed since it was opened; the mapping that stays still has it
                yield number, self.parts[number]

    def row(self, index: int) -> Tensor:
        """The state of an example, no copy."""
        part, start = self.place[index].tolist()
        length = 1 if self.lengths is None else int(self.lengths[index])
        rows = self.parts[part][start : start + length]
        return rows[0] if self.lengths is None else rows


def collect(cut: int, count: int, passed: Iterator[tuple[Indices, State]]) -> Features:
    """Features in memory from a pass over all `count` examples; those of one size are put in their place at once."""
    indices, state = next(passed)
    if "lengths" in state:
        rows, x, offsets = _joined([(indices, state), *passed])
        assert offsets is not None  # there are lengths
        return _placed(cut, count, [{"x": x, "rows": rows, "offsets": offsets}])
    x = torch.empty((count, *state["x"].shape[1:]), dtype=state["x"].dtype)
    for numbers, found in itertools.chain([(indices, state)], passed):
        x[torch.from_numpy(numbers)] = found["x"]
    return Features(cut, [x], np.stack([np.zeros(count, np.int64), np.arange(count)], 1), None)


def shards(batches: Sequence[Indices], sizes: np.ndarray, target: int = SHARD_BYTES) -> list[list[Indices]]:
    """Batches grouped into shards of about `target` bytes; `sizes`: estimated bytes of each example."""
    groups: list[list[Indices]] = [[]]
    filled = 0.0
    for batch in batches:
        if groups[-1] and filled >= target:
            groups.append([])
            filled = 0.0
        groups[-1].append(batch)
        filled += float(sizes[batch].sum())
    return groups if groups[-1] else []


def begun(folder: Path) -> dict[str, Any] | None:
    """The plan of a build that was killed, as given to `build`; None if there is none."""
    try:
        return dict(documents.read_json(folder / PLAN, {})["plan"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def build(
    folder: Path, final: Path, groups: list[list[Indices]], plan: Mapping[str, Any], run: Pass, about: Mapping[str, Any]
) -> Iterator[int]:
    """Writes the shards that `folder` lacks, then the index, then renames it to `final`; yields rows done so far.

    `plan`: what `groups` was made from, as JSON; a folder begun under another plan starts again. `about`: what else
    the index says of the entry.
    """
    if begun(folder) != dict(plan):
        for path in folder.iterdir():
            path.unlink()
        documents.write(folder / PLAN, {"plan": dict(plan), "shards": {}}, shared=True)
    digests = _written(folder)
    missing = [number for number, _ in enumerate(groups) if _name(number) not in digests]
    done = sum(len(batch) for number, group in enumerate(groups) if number not in missing for batch in group)
    yield done
    states = run([batch for number in missing for batch in groups[number]])
    for number in missing:
        rows, x, offsets = _joined([next(states) for _ in groups[number]])
        tensors = {"x": x, "rows": rows} | ({} if offsets is None else {"offsets": offsets})
        digests[_name(number)] = _write(folder / _name(number), tensors)
        documents.write(folder / PLAN, {"plan": dict(plan), "shards": digests}, shared=True)
        done += len(rows)
        yield done
    digests = {_name(number): digests[_name(number)] for number in range(len(groups))}
    size = sum((folder / name).stat().st_size for name in digests)
    index = {"format": FORMAT, **about, "rows": done, "bytes": size, "shards": digests}
    documents.write(folder / INDEX, index, shared=True)
    (folder / PLAN).unlink()
    try:
        folder.rename(final)
    except OSError:
        if not (final / INDEX).is_file():
            raise
        discard(folder)  # another run was first, where the file system has no locks
    files.sync(final.parent)


def open_states(folder: Path, cut: int, count: int, memory: int) -> Features:
    """Opens an entry of `count` examples; kept in memory if it has at most `memory` bytes, else memory-mapped.

    Raises Damaged if anything is not as the index says.
    """
    try:
        index = documents.read_json(folder / INDEX, {})
        if index["format"] != FORMAT:
            raise Damaged(f"its format is {index['format']}, not {FORMAT}")
        names, size = dict(index["shards"]), int(index["bytes"])
        with ThreadPoolExecutor(DIGESTS) as threads:
            digests = list(threads.map(_digest, [folder / name for name in names]))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise Damaged(f"its index cannot be read ({type(error).__name__}: {error})") from None
    for name, expected, digest in zip(names, names.values(), digests, strict=True):
        if digest != expected:
            raise Damaged(f"its shard {name} is not what was written")
    try:
        parts = [_read(folder / name) for name in names]
        rows = torch.cat([part["rows"] for part in parts]) if parts else torch.zeros(0, dtype=torch.int64)
    except (OSError, SafetensorError, KeyError) as error:
        raise Damaged(f"a shard cannot be read ({type(error).__name__}: {error})") from None
    if not torch.equal(rows.sort().values, torch.arange(count)):
        raise Damaged(f"it has {len(rows)} rows for {count} examples")
    found = _placed(cut, count, parts, [folder / name for name in names])
    return found.resident() if size <= memory else found


def _placed(cut: int, count: int, parts: list[dict[str, Tensor]], files: Sequence[Path] = ()) -> Features:
    """The states where they lie, in these shards."""
    place = np.zeros((count, 2), np.int64)
    lengths = np.zeros(count, np.int64) if "offsets" in parts[0] else None
    for number, part in enumerate(parts):
        rows = part["rows"].numpy()
        starts = part["offsets"].numpy() if lengths is not None else np.arange(len(rows) + 1)
        place[rows, 0], place[rows, 1] = number, starts[:-1]
        if lengths is not None:
            lengths[rows] = np.diff(starts)
    return Features(cut, [part["x"] for part in parts], place, lengths, files)


def _joined(states: list[tuple[Indices, State]]) -> tuple[Tensor, Tensor, Tensor | None]:
    """Example numbers, their rows back to back without padding, and offsets where lengths vary."""
    rows = torch.from_numpy(np.concatenate([indices for indices, _ in states]).astype(np.int64))
    if "lengths" not in states[0][1]:
        return rows, torch.cat([state["x"] for _, state in states]).contiguous(), None
    lengths = torch.cat([state["lengths"] for _, state in states])
    kept = [x[:length] for _, state in states for x, length in zip(state["x"], state["lengths"].tolist(), strict=True)]
    return rows, torch.cat(kept).contiguous(), torch.cat([torch.zeros(1, dtype=torch.int64), lengths.cumsum(0)])


def _name(number: int) -> str:
    return f"{number:05d}.safetensors"


def _write(path: Path, tensors: Mapping[str, Tensor]) -> str:
    """Writes a shard, whole or not at all; the digest of its bytes."""
    with files.replacing(path) as place:
        return tensorfile.write(place, tensors)


def _written(folder: Path) -> dict[str, str]:
    """The digests of the shards that a killed build has left whole, by name."""
    try:
        kept = dict(documents.load_json(folder / PLAN)["shards"])
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return {name: digest for name, digest in kept.items() if _digest(folder / name) == digest}


def _digest(path: Path) -> str | None:
    """The digest of a shard's bytes; None where it cannot be read."""
    try:
        return files.digest(path)
    except OSError:
        return None


def _read(path: Path) -> dict[str, Tensor]:
    """A shard's tensors, memory-mapped."""
    with safe_open(path, "pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # safe_open is no mapping
