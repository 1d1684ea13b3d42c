"""Pictures and recordings of the examples that are shown, made small and put into the page, each once."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from mmtransfer.data import audio, images
from mmtransfer.errors import MMTransferError

LIMIT = 18_000_000
"""Characters of all media of a page."""
SIDE = 256
"""Pixels of the shorter side of a picture; smaller ones stay as they are."""
LONGEST = 512
"""Pixels of the longer side at most."""
TINY = 64
"""Pixels of a side up to which a picture is kept without loss."""
RATE, SECONDS = 16_000, 30.0
"""Samples a second and length of a recording; longer ones are cut there."""


@dataclass
class Media:
    """What has been put into the page so far."""

    items: list[str] = field(default_factory=list)
    """As data: URLs."""
    missing: dict[str, str] = field(default_factory=dict)
    """By id, why an example has none."""
    full: bool = False
    """Whether something has been left out for want of room."""
    size: int = 0

    def add(self, id: str, kind: str, value: Mapping[str, Any]) -> int | None:
        """Puts in the picture or recording of an example; its number in `items`, None where there is none."""
        if self.full:
            return None
        try:
            item = picture(value) if kind == "image" else recording(value)
        except MMTransferError as error:
            self.missing[id] = error.what
            return None
        if self.size + len(item) > LIMIT:
            self.full = True
            return None
        self.items.append(item)
        self.size += len(item)
        return len(self.items) - 1


def picture(value: Mapping[str, Any]) -> str:
    """A picture as a small JPEG, a tiny one as PNG; MMTransferError where it cannot be read."""
    from PIL import Image

    image = Image.fromarray(images.shrunk(value, SIDE).numpy())
    image.thumbnail((LONGEST, LONGEST))
    buffer, tiny = io.BytesIO(), max(image.size) <= TINY
    image.save(buffer, "PNG" if tiny else "JPEG", **({} if tiny else {"quality": 80, "optimize": True}))
    return _url("image/png" if tiny else "image/jpeg", buffer.getvalue())


def recording(value: Mapping[str, Any]) -> str:
    """A recording, mono, as MP3; MMTransferError where it cannot be read."""
    import soundfile

    samples = audio.read_samples(value, RATE)[: int(RATE * SECONDS)].numpy()
    kind, mime = _format()
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, RATE, format=kind)
    return _url(mime, buffer.getvalue())


@cache
def _format() -> tuple[str, str]:
    """The smallest format of those that browsers play which this libsndfile writes."""
    import soundfile

    known = (("MP3", "audio/mpeg"), ("OGG", "audio/ogg"), ("WAV", "audio/wav"))
    return next((kind, mime) for kind, mime in known if kind in soundfile.available_formats())


def _url(mime: str, data: bytes) -> str:
    return f"data:{mime};base64,{base64.b64encode(data).decode()}"
