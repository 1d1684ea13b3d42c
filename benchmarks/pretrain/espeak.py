"""espeak-ng through ctypes: text -> samples, by voice, speed, pitch and range.

Its output depends on the calls before (the same text twice in a process differs), the noise of breathy voices on two
random generators, seeded here. The same sequence of calls in a new process is equal to the bit. So whoever wants the
same recordings again makes them in the same order in a fresh process.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from pathlib import Path

import espeakng_loader
import numpy as np

_SYNCHRONOUS, _UTF8, _PHONEMES = 2, 1, 0x100
_RATE, _PITCH, _RANGE, _GAP = 1, 3, 4, 7
_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)


@dataclass(frozen=True)
class Manner:
    """How something is said: `rate` in words a minute, `pitch` and `range` 0 to 99, `gap` between words in 10 ms."""

    rate: int = 175
    pitch: int = 50
    range: int = 50
    gap: int = 0


class Synthesiser:
    """One a process: the library keeps its state in the process."""

    def __init__(self, seed: int = 0) -> None:
        self._library = ctypes.CDLL(str(espeakng_loader.get_library_path()))
        self.sample_rate = int(
            self._library.espeak_Initialize(_SYNCHRONOUS, 0, str(espeakng_loader.get_data_path()).encode(), 0)
        )
        self._library.espeak_ng_SetRandSeed(ctypes.c_long(seed + 1))
        ctypes.CDLL(None).srand(seed + 1)
        self._parts: list[np.ndarray] = []
        self._callback = _CALLBACK(self._receive)  # kept here: the library holds no reference to it
        self._library.espeak_SetSynthCallback(self._callback)

    def _receive(self, samples: ctypes._Pointer[ctypes.c_short], count: int, _: int | None) -> int:
        if samples and count > 0:
            self._parts.append(np.ctypeslib.as_array(samples, (count,)).copy())
        return 0

    def say(self, text: str, voice: str, manner: Manner = Manner()) -> np.ndarray:  # noqa: B008  # frozen
        """float32 (samples,) within -1..1 at `sample_rate`; `[[...]]` in the text are espeak's phonemes.

        `voice`: an accent and a variant, such as `en-us+f3`. Raises ValueError for one that is not there.
        """
        if self._library.espeak_SetVoiceByName(voice.encode()) != 0:
            raise ValueError(f"espeak-ng has no voice {voice!r}")
        for parameter, value in zip((_RATE, _PITCH, _RANGE, _GAP), vars(manner).values(), strict=True):
            self._library.espeak_SetParameter(parameter, int(value), 0)
        self._parts.clear()
        data = text.encode()
        self._library.espeak_Synth(data, len(data) + 1, 0, 1, 0, _UTF8 | _PHONEMES, None, None)
        self._library.espeak_Synchronize()
        return np.concatenate([np.zeros(0, np.int16), *self._parts]).astype(np.float32) / 32768


ACCENTS = ("en-us", "en-us", "en-us", "en-us", "en-us-nyc", "en-gb-x-rp", "en-gb-scotland", "en-gb-x-gbclan")
ACCENTS += ("en-gb-x-gbcwmd", "en-029")
"""English accents, American ones more often. Voices of other languages read English by their own spelling rules: what
they say is not what is written."""

TARGET_VARIANTS = ("f2", "m3", "Andy", "linda", "Gene", "steph2", "iven3", "Reed", "john", "Annie", "boris", "f5")
"""Variants that only the built-in target has."""

VALIDATION_VARIANTS = ("f4", "m7", "ed", "Alicia", "robert", "zac")
"""Variants that only the validation part of the pretraining has."""

_UNNATURAL = ("croak", "Demonic", "Tweaky", "RicishayMax3", "whisperf")
_UNNATURAL += ("robosoft", "robosoft2", "robosoft3", "robosoft4")


def training_variants() -> list[str]:
    """The variants left for pretraining, sorted."""
    folder = Path(espeakng_loader.get_data_path()) / "voices" / "!v"
    kept = {*TARGET_VARIANTS, *VALIDATION_VARIANTS, *_UNNATURAL}
    return sorted(path.name for path in folder.iterdir() if path.name not in kept)
