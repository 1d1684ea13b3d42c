"""Text for the page: whatever a user has given is escaped, and what cannot be seen is shown as an escape."""

from __future__ import annotations

import json
from typing import Any

from markupsafe import Markup, escape

from mmtransfer.terminal import visible

LINES = "\n\t\u200e\u200f"
"""What texts may hold beside letters: line ends, tabs, and the marks of direction that Arabic and Hebrew need."""


def text(value: Any) -> str:
    """A name, a label or a path, with control characters as escapes."""
    return visible(str(value))


def prose(value: str) -> str:
    """A text of several lines."""
    return visible(value, keep=LINES)


def embedded(value: Any) -> Markup:
    """JSON inside a script element: no `<` in it can end that, or begin a comment.

    >>> print(embedded({"a": "</script>"}))
    {"a":"\\u003c/script>"}
    """
    written = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    try:
        written.encode()
    except UnicodeEncodeError:  # half a surrogate pair, of a name that is no UTF-8
        written = json.dumps(value, separators=(",", ":"), allow_nan=False)
    written = written.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
    return Markup(written)  # noqa: S704  # what could end the element has just been taken out


def element(name: str, *children: Any, **attributes: Any) -> Markup:
    """An element of HTML or SVG; children and attributes are escaped unless they are elements themselves.

    `class_` stands for class, `_` in a name for a dash; attributes that are None are left out.

    >>> print(element("text", "a < b", x=1.5, class_="big"))
    <text x="1.5" class="big">a &lt; b</text>
    """
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(number(value) if isinstance(value, float) else value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    return Markup(f"<{name}{written}>{''.join(map(str, map(escape, children)))}</{name}>")


def number(value: float) -> str:
    """A coordinate: two digits behind the point at most."""
    return f"{value:.2f}".rstrip("0").rstrip(".")
