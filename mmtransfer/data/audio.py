"""Recordings as samples: any format of libsndfile, any rate, any number of channels -> mono float32 at one rate.

soundfile reads; torchaudio resamples (its own reading and writing need another library since 2.11).
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
import soundfile
import torch
from torch import Tensor

from mmtransfer.data.table import File, contents
from mmtransfer.errors import MMTransferError

SUFFIXES = frozenset({".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".au", ".w64", ".caf"})
ARRAY_RATE = 16_000
"""Samples a second of a recording that is given as a NumPy array."""


def load(audio: Mapping[str, Any], rate: int) -> Tensor:
    """The samples of a recording at `rate` Hz: float32 (samples,), within -1..1, mean of the channels.

    Raises MMTransferError if the file cannot be read or ends before the length its header tells.
    """
    with _open(audio) as sound:
        own = sound.samplerate
        waveform = _decode(audio, sound)
    mono = torch.from_numpy(waveform.mean(axis=1) if waveform.shape[1] > 1 else waveform[:, 0])
    if own == rate:
        return mono
    from torchaudio.functional import resample

    # torchaudio computes its length in float32, which is off by one in long recordings
    length = _resampled(len(waveform), own, rate)
    return torch.nn.functional.pad(resample(mono, own, rate), (0, 1))[:length].contiguous()


def samples(audio: Mapping[str, Any], rate: int) -> int:
    """`len(load(audio, rate))`, from the header only."""
    with _open(audio) as sound:
        return _resampled(sound.frames, sound.samplerate, rate)


def normalise(waveform: Tensor) -> Tensor:
    """Mean 0 and variance 1, (samples,) -> (samples,), as Wav2Vec2's feature extractor does."""
    return (waveform - waveform.mean()) / torch.sqrt(waveform.var(correction=0) + 1e-7)


def fault(audio: Mapping[str, Any]) -> str | None:
    """Why a recording cannot be used, judged by its header (MP3: by decoding it); None if it can."""
    try:
        with _open(audio) as sound:
            if sound.format == "MP3":
                _decode(audio, sound)
            return None if sound.frames > 0 else "the recording has zero length"
    except MMTransferError as error:
        return error.what


def from_array(samples: np.ndarray) -> File:
    """A float array (samples,) at 16 kHz as a WAV file in memory; ValueError says what else it is."""
    if samples.ndim != 1 or samples.dtype.kind != "f":
        raise ValueError(f"an array must be float (samples,) at {ARRAY_RATE} Hz, not {samples.dtype} {samples.shape}")
    if not np.isfinite(samples).all():
        raise ValueError("the array holds values that are not finite")
    buffer = io.BytesIO()
    soundfile.write(buffer, samples.astype(np.float32), ARRAY_RATE, format="WAV", subtype="FLOAT")
    return {"path": None, "bytes": buffer.getvalue()}


def _open(audio: Mapping[str, Any]) -> soundfile.SoundFile:
    source = audio["path"] if audio["bytes"] is None else io.BytesIO(audio["bytes"])
    try:
        return soundfile.SoundFile(source)
    except (soundfile.SoundFileError, OSError) as error:
        raise _unreadable(audio, str(error).split("Error opening ")[-1]) from None


def _decode(audio: Mapping[str, Any], sound: soundfile.SoundFile) -> np.ndarray:
    """All samples, float32 (frames, channels), exactly as many as the header tells.

    libsndfile guesses the length of an MP3 without a Xing, Info or VBRI frame from the first bit rate. A constant rate
    makes it too long by less than a percent: silence is added. A varying one makes it anything, and where it is too
    short libsndfile never reads the rest: such files are refused.
    """
    frames, guessed, data = sound.frames, False, io.BytesIO()
    if sound.format == "MP3":
        data = io.BytesIO(contents(audio))
        sound = soundfile.SoundFile(data)
        guessed = not any(tag in data.getvalue()[: data.tell()] for tag in (b"Xing", b"Info", b"VBRI"))
    try:
        waveform = sound.read(dtype="float32", always_2d=True)
    except soundfile.SoundFileError:
        raise _unreadable(audio, "damaged or cut short") from None
    following = data.read(2)
    unread = guessed and len(following) == 2 and following[0] == 0xFF and following[1] >= 0xE0  # another frame begins
    if unread or len(waveform) < frames * (0.9 if guessed else 1):
        reason = "its bit rate varies and it has no header with its length: convert it" if guessed else "cut short"
        raise _unreadable(audio, reason)
    return np.pad(waveform, ((0, frames - len(waveform)), (0, 0))) if len(waveform) < frames else waveform


def _unreadable(audio: Mapping[str, Any], reason: str) -> MMTransferError:
    where = audio["path"] or "a recording in memory"
    return MMTransferError(f"not a readable recording ({reason})", where, "replace the file, or leave it out")


def _resampled(frames: int, own: int, rate: int) -> int:
    """Samples after resampling: as many as start within the recording, ceil(frames * rate / own)."""
    return -(-frames * rate // own)
