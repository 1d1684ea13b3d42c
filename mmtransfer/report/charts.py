"""Small charts as SVG: their colours are those of the page, light and dark, and each says in words what it shows."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from mmtransfer.report.html import element

WIDTH, HEIGHT = 420.0, 260.0
LEFT, RIGHT, TOP, BOTTOM = 52.0, 12.0, 12.0, 40.0
LETTER, LINE = 6.5, 13.0
"""Pixels of a letter and of a line of a label."""


def short(value: float) -> str:
    """A number as it stands beside an axis.

    >>> short(0.25), short(0.00015), short(120000.0)
    ('0.25', '1.5e-4', '1.2e5')
    """
    if value == 0 or 1e-3 <= abs(value) < 1e5:
        return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"
    digits, _, power = f"{value:.2e}".partition("e")
    return f"{digits.rstrip('0').rstrip('.')}e{int(power)}"


@dataclass(frozen=True)
class Axis:
    """From data to pixels."""

    label: str
    low: float
    high: float
    log: bool = False
    spoken: Callable[[float], str] = short

    def share(self, value: float) -> float:
        """0 at the lower end, 1 at the upper one."""
        if self.log:
            return (math.log(value) - math.log(self.low)) / (math.log(self.high) - math.log(self.low))
        return (value - self.low) / (self.high - self.low)

    def ticks(self) -> list[float]:
        """Round values within the axis, about five."""
        if self.log:
            powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            for steps in ((1,), (1, 3), (1, 2, 5), (1, 2, 3, 4, 6, 8)):
                marks = [step * 10.0**power for power in powers for step in steps]
                marks = [mark for mark in marks if self.low <= mark <= self.high]
                if len(marks) > 2:
                    break
            return marks
        step = _round_step((self.high - self.low) / 5)
        first = math.ceil(self.low / step - 1e-9)
        return [number * step for number in range(first, math.floor(self.high / step + 1e-9) + 1)]

    @classmethod
    def around(
        cls, label: str, values: Sequence[float], log: bool = False, spoken: Callable[[float], str] | None = None
    ) -> Axis:
        """An axis that holds these values with a margin."""
        low, high = min(values), max(values)
        if log:
            low, high = low / 1.3, high * 1.3
        else:
            margin = (high - low) * 0.06 or abs(high) * 0.1 or 1.0
            low, high = low - margin, high + margin
        return cls(label, low, high, log, spoken or short)


def _round_step(raw: float) -> float:
    power = 10.0 ** math.floor(math.log10(raw))
    return next(step * power for step in (1, 2, 2.5, 5, 10) if step * power >= raw * 0.999)


class Plot:
    """A frame with two axes, into which marks are put; `svg` gives the chart."""

    def __init__(self, x: Axis, y: Axis, told: str, width: float = WIDTH, height: float = HEIGHT) -> None:
        """`told`: what the chart shows, for who cannot see it."""
        self.x, self.y, self.told, self.width, self.height = x, y, told, width, height
        self.marks: list[Markup] = []
        self._labels: list[tuple[float, float, float, float]] = []

    def at(self, x: float, y: float) -> tuple[float, float]:
        """The pixel of a point."""
        right = self.width - LEFT - RIGHT
        return LEFT + self.x.share(x) * right, self.height - BOTTOM - self.y.share(y) * (self.height - TOP - BOTTOM)

    def line(self, points: Sequence[tuple[float, float]], colour: int, dashed: bool = False) -> None:
        """A line through points."""
        places = " ".join(f"{x:.1f},{y:.1f}" for x, y in (self.at(*point) for point in points))
        style = f"line c{colour}" + (" dashed" if dashed else "")
        self.marks.append(element("polyline", points=places, class_=style))

    def dot(self, x: float, y: float, colour: int, told: str, size: float = 4.0) -> None:
        """A point; `told`: its tooltip."""
        place = self.at(x, y)
        mark = element("circle", element("title", told), cx=place[0], cy=place[1], r=size, class_=f"dot c{colour}")
        self.marks.append(mark)

    def whisker(self, x: float, low: float, high: float, colour: int) -> None:
        """An interval."""
        (x1, y1), (_, y2) = self.at(x, low), self.at(x, high)
        self.marks.append(element("line", x1=x1, x2=x1, y1=y1, y2=y2, class_=f"line c{colour}"))

    def label(self, x: float, y: float, words: str, anchor: str = "start") -> None:
        """Words above a point, to the right of it or, with `anchor` end, to the left; none where they would lie on
        those of an earlier label."""
        place = self.at(x, y)
        left, bottom = place[0] + (5 if anchor == "start" else -5), place[1] - 8
        wide = LETTER * len(words)
        begin = left if anchor == "start" else left - wide
        box = (begin, bottom - LINE, begin + wide, bottom)
        if any(box[0] < b[2] and b[0] < box[2] and box[1] < b[3] and b[1] < box[3] for b in self._labels):
            return
        self._labels.append(box)
        self.marks.append(element("text", words, x=left, y=bottom, text_anchor=anchor, class_="axis"))

    def svg(self) -> Markup:
        """The chart."""
        frame: list[Markup] = []
        for tick in self.x.ticks():
            x = self.at(tick, self.y.low)[0]
            bottom = self.height - BOTTOM
            frame.append(element("line", x1=x, x2=x, y1=TOP, y2=bottom, class_="grid"))
            frame.append(element("text", self.x.spoken(tick), x=x, y=bottom + 15, text_anchor="middle"))
        for tick in self.y.ticks():
            y = self.at(self.x.low, tick)[1]
            frame.append(element("line", x1=LEFT, x2=self.width - RIGHT, y1=y, y2=y, class_="grid"))
            frame.append(element("text", self.y.spoken(tick), x=LEFT - 6, y=y + 4, text_anchor="end"))
        middle = LEFT + (self.width - LEFT - RIGHT) / 2
        frame.append(element("text", self.x.label, x=middle, y=self.height - 6, text_anchor="middle", class_="axis"))
        tall = TOP + (self.height - TOP - BOTTOM) / 2
        turned = f"rotate(-90 12 {tall:.1f})"
        frame.append(element("text", self.y.label, x=12, y=tall, transform=turned, text_anchor="middle", class_="axis"))
        box = f"0 0 {self.width:.0f} {self.height:.0f}"
        return element("svg", *frame, *self.marks, viewBox=box, role="img", aria_label=self.told, class_="chart")


LABELS = 120.0
CELLS = ((12, 34.0), (30, 22.0), (10_000, 12.0))
"""Up to so many classes, pixels of a cell's side."""
COUNTED = 20.0
"""Pixels from which on a cell holds its number."""


def wide(classes: int) -> float:
    """Pixels of a matrix of so many classes from side to side; the last names lean out."""
    return LABELS + classes * next(size for most, size in CELLS if classes <= most) + 70


def heat(names: Sequence[str], cells: Sequence[tuple[int, int, int]], totals: Sequence[int], told: str) -> Markup:
    """A matrix: rows are truths, columns answers; `cells`: (row, column, times), those that are not 0; `totals`: of
    each row. A cell's colour is its share of the row, the diagonal's another one than the others'."""
    size = next(size for most, size in CELLS if len(names) <= most)
    side, shown = size * len(names), [name if len(name) <= 18 else f"{name[:17]}…" for name in names]
    parts: list[Markup] = []
    for place, name in enumerate(shown):
        middle = LABELS + place * size + size / 2
        parts.append(
            element("text", element("title", names[place]), name, x=LABELS - 5, y=middle + 4, text_anchor="end")
        )
        turned = f"rotate(-60 {middle:.1f} {LABELS - 6:.1f})"
        parts.append(element("text", element("title", names[place]), name, x=middle, y=LABELS - 6, transform=turned))
    parts.append(element("rect", x=LABELS, y=LABELS, width=side, height=side, class_="back"))
    for row, column, times in cells:
        share = times / max(1, totals[row])
        words = f"{names[row]} → {names[column]}: {times:,} of {totals[row]:,} ({share:.0%})"
        style = f"cell {'hit' if row == column else 'miss'}"
        x, y = LABELS + column * size, LABELS + row * size
        box = element(
            "rect",
            element("title", words),
            x=x + 0.5,
            y=y + 0.5,
            width=size - 1,
            height=size - 1,
            class_=style,
            fill_opacity=0.12 + 0.88 * share**0.7,
            data_t=names[row],
            data_p=names[column],
        )
        parts.append(box)
        if size > COUNTED and times < 1000:
            tone = "count strong" if share > 0.55 else "count"
            parts.append(element("text", times, x=x + size / 2, y=y + size / 2 + 4, text_anchor="middle", class_=tone))
    whole = wide(len(names))
    box_ = f"0 0 {whole:.0f} {LABELS + side + 4:.0f}"
    return element(
        "svg", *parts, viewBox=box_, width=whole, height=LABELS + side + 4, role="img", aria_label=told, class_="matrix"
    )
