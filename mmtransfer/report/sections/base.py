"""A section of the page, and how its template becomes HTML."""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Any, NamedTuple

import jinja2
from markupsafe import Markup

from mmtransfer.metrics.intervals import Estimate
from mmtransfer.report import html
from mmtransfer.report.scoring import called


class Section(NamedTuple):
    """A part of the page with a heading, which the contents name."""

    id: str
    title: str
    body: Markup


@cache
def environment() -> jinja2.Environment:
    """Templates whose values are all escaped."""
    loader = jinja2.FunctionLoader(_source)
    made = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    made.filters.update(shown=html.text, called=called, whisker=whisker, digits=digits, share=share)
    return made


def _source(name: str) -> str:
    return (resources.files("mmtransfer.report") / "templates" / name).read_text("utf-8")


def static(name: str) -> str:
    """A file that the page is made of."""
    return (resources.files("mmtransfer.report") / "static" / name).read_text("utf-8")


def render(template: str, **values: Any) -> Markup:
    """A template with these values."""
    return Markup(environment().get_template(template).render(**values))  # noqa: S704  # the template escapes


def digits(value: float | None) -> str:
    """A score as text: three digits behind the point, of large numbers four in all."""
    if value is None:
        return "–"
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.4g}"


def share(value: float) -> str:
    """0.123 as 12 %."""
    return f"{100 * value:.0f} %"


def whisker(score: Estimate | None, low: float = 0.0, high: float = 1.0) -> Markup:
    """A value with its interval as a small bar between `low` and `high`; words for it stand beside."""
    if score is None or score.value is None:
        return Markup("")
    span = (high - low) or 1.0

    def at(value: float) -> str:
        return html.number(100 * min(1.0, max(0.0, (value - low) / span)))

    begin, end = (score.value if side is None else side for side in (score.low, score.high))
    style = f"--v:{at(score.value)};--l:{at(begin)};--h:{at(end)}"
    return html.element("i", class_="w", style=style, aria_hidden="true")
