"""One page of all that is known of a run: a single file, which asks for nothing from outside."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from markupsafe import Markup

from mmtransfer.report import html
from mmtransfer.report.evidence import Evidence
from mmtransfer.report.sections import (
    classes,
    confusion,
    costs,
    curves,
    data,
    examples,
    reliability,
    search,
    settings,
    slices,
    verdict,
)
from mmtransfer.report.sections.base import Section, render, static
from mmtransfer.report.sections.examples import Listed

Maker = Callable[[Evidence], Section | None]


def sections_of(evidence: Evidence, listed: Listed | None) -> list[Section]:
    """The sections of one run that have something to say, in their order."""
    makers: list[Maker] = [
        verdict.make,
        partial(examples.make, list_=listed),
        confusion.make,
        classes.make,
        slices.make,
        reliability.make,
        curves.make,
        search.make,
        costs.make,
        data.make,
        settings.make,
    ]
    return [section for make in makers if (section := make(evidence)) is not None]


def page(title: str, about: str, sections: Sequence[Section], listed: Listed | None) -> str:
    """The HTML of a page."""
    script = static("page.js")
    policy = (
        "default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'; "
        f"script-src 'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
    )
    rows: dict[str, Any] = listed.data if listed else {}
    return str(
        render(
            "page.html",
            title=html.text(title),
            about=html.text(about),
            policy=policy,
            style=Markup(static("page.css")),  # noqa: S704  # a file of this package
            script=Markup(script),  # noqa: S704  # the same
            sections=sections,
            data=html.embedded(rows),
            media=html.embedded(listed.media.items if listed else []),
        )
    )
