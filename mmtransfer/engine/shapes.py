"""The few shapes that recorded passes have: lengths rounded up, so that few of them are recorded."""

from __future__ import annotations

from mmtransfer.backbones.staged import State

SMALLEST = 8
"""Lengths are rounded up to multiples of at least this."""


def bucket(length: int) -> int:
    """The length that a recorded pass has for one of `length`: a multiple of 8, and one of four an octave."""
    unit = max(SMALLEST, 1 << max(0, length.bit_length() - 3))
    return -(-length // unit) * unit


def rounded_shapes(state: State, most: int | None) -> dict[str, tuple[int, ...]]:
    """By name, the shape that a recorded pass has for a tensor of a state: (batch, length) or (batch, length, width)
    with the length rounded, though not beyond `most` positions where there is such a limit.

    Only where lengths vary, which masks heed: pixels, patches and pooled features are as large as they are.
    """
    shapes = {name: tuple(value.shape) for name, value in state.items()}
    if "lengths" not in state:
        return shapes
    for name, (batch, *sizes) in shapes.items():
        if len(sizes) in (1, 2):
            length = bucket(sizes[0])
            shapes[name] = (batch, length if most is None else max(sizes[0], min(length, most)), *sizes[1:])
    return shapes


def larger(state: State, most: int | None) -> State:
    """The state in the shapes of `rounded_shapes`; zeros follow what is shorter."""
    shapes = rounded_shapes(state, most)
    found = {name: value.new_zeros(shapes[name]) for name, value in state.items()}
    for name, value in state.items():
        found[name][tuple(slice(0, size) for size in value.shape)].copy_(value)
    return found
