"""Recordings, or segments of them, as samples: any format of libsndfile, rate and channels -> mono float32 at one rate.

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

from mmtransfer.data.digests import contents
from mmtransfer.data.table import File
from mmtransfer.errors import MMTransferError

SUFFIXES = frozenset({".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".au", ".w64", ".caf"})
ARRAY_RATE = 16_000
"""Samples a second of a recording that is given as a NumPy array."""
_HOP = 0.01
_BEYOND = 0.02
"""Seconds by which a segment may end after its recording: times in tables are rounded."""


def load(audio: Mapping[str, Any], rate: int) -> Tensor:
    """The samples of a recording, or of its segment, at `rate` Hz: float32 (samples,), within -1..1, mean of channels.

    Raises MMTransferError if the file cannot be read or ends before the length its header tells. A segment of an MP3
    costs decoding the whole file, because MP3 knows no exact places; of other formats only the segment is read.
    """
    with _open(audio) as sound:
        own = sound.samplerate
        waveform = _decode(audio, sound, *_span(audio, sound))
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
        begin, end = _span(audio, sound)
        return _resampled(end - begin, sound.samplerate, rate)


def seconds(audio: Mapping[str, Any]) -> float:
    """Length of a recording or of its segment, from the header only."""
    with _open(audio) as sound:
        begin, end = _span(audio, sound)
        return float((end - begin) / sound.samplerate)


def loudness(audio: Mapping[str, Any]) -> tuple[np.ndarray, float]:
    """Mean square of every 10 ms (the last may be shorter), float64 (hops,), and the exact seconds of a hop.

    Read in blocks: a recording of hours needs no memory for its samples.
    """
    with _open(audio) as sound:
        begin, end = _span(audio, sound)
        hop = max(1, round(sound.samplerate * _HOP))
        found: list[np.ndarray] = []
        sound.seek(begin)
        while begin < end:
            block = sound.read(min(1000 * hop, end - begin), dtype="float32", always_2d=True).mean(axis=1) ** 2
            if not len(block):
                break
            found.append(np.add.reduceat(block, np.arange(0, len(block), hop), dtype=np.float64) / hop)
            begin += len(block)
        return np.concatenate(found or [np.zeros(0)]), hop / sound.samplerate


def normalise(waveform: Tensor) -> Tensor:
    """Mean 0 and variance 1, (samples,) -> (samples,), as Wav2Vec2's feature extractor does."""
    return (waveform - waveform.mean()) / torch.sqrt(waveform.var(correction=0) + 1e-7)


def fault(audio: Mapping[str, Any], max_seconds: float | None = None) -> str | None:
    """Why a recording or segment cannot be used, judged by its header (MP3: by decoding it); None if it can.

    `max_seconds`: length above which it cannot; None: any.
    """
    try:
        with _open(audio) as sound:
            if sound.format == "MP3":
                _decode(audio, sound, 0, sound.frames)
            if sound.frames <= 0:
                return "the recording has zero length"
            begin, end = _span(audio, sound)
            length, whole = (end - begin) / sound.samplerate, sound.frames / sound.samplerate
    except MMTransferError as error:
        return error.what
    if audio.get("start") is not None:
        if not 0 <= audio["start"] < audio["stop"]:
            return f"a segment cannot go from {audio['start']:g} to {audio['stop']:g} s"
        if audio["stop"] > whole + _BEYOND:
            return f"the segment ends at {audio['stop']:g} s, the recording at {whole:.2f} s"
        if end <= begin:
            return "the segment has zero length"
    if max_seconds is not None and length > max_seconds:
        return (
            f"{length:.1f} s are more than --max-seconds {max_seconds:g}: raise it if memory allows, or give times of "
            "shorter segments in columns start and end"
        )
    return None


def from_array(samples: np.ndarray, rate: int = ARRAY_RATE) -> File:
    """A float array (samples,) at `rate` Hz as a WAV file in memory; ValueError says what else it is."""
    if samples.ndim != 1 or samples.dtype.kind != "f":
        raise ValueError(f"an array must be float (samples,) at {rate} Hz, not {samples.dtype} {samples.shape}")
    if not np.isfinite(samples).all():
        raise ValueError("the array holds values that are not finite")
    buffer = io.BytesIO()
    soundfile.write(buffer, samples.astype(np.float32), rate, format="WAV", subtype="FLOAT")
    return {"path": None, "bytes": buffer.getvalue()}


def _open(audio: Mapping[str, Any]) -> soundfile.SoundFile:
    source = audio["path"] if audio["bytes"] is None else io.BytesIO(audio["bytes"])
    try:
        return soundfile.SoundFile(source)
    except (soundfile.SoundFileError, OSError) as error:
        raise _unreadable(audio, str(error).split("Error opening ")[-1]) from None


def _span(audio: Mapping[str, Any], sound: soundfile.SoundFile) -> tuple[int, int]:
    """First frame and the one after the last, at the file's own rate; of a segment beyond the recording, what is there.

    Both ends are rounded alone, so that segments that touch share no frame and leave none out.
    """
    if audio.get("start") is None:
        return 0, int(sound.frames)
    begin, end = (min(max(0, round(audio[side] * sound.samplerate)), int(sound.frames)) for side in ("start", "stop"))
    return begin, end


def _decode(audio: Mapping[str, Any], sound: soundfile.SoundFile, begin: int, end: int) -> np.ndarray:
    """Samples `begin` to `end`, float32 (end - begin, channels), exactly as many as the header tells.

    libsndfile guesses the length of an MP3 without a Xing, Info or VBRI frame from the first bit rate. A constant rate
    makes it too long by less than a percent: silence is added. A varying one makes it anything, and where it is too
    short libsndfile never reads the rest: such files are refused.
    """
    frames, guessed, data, mp3 = sound.frames, False, io.BytesIO(), sound.format == "MP3"
    if mp3:
        data = io.BytesIO(contents(audio))
        sound = soundfile.SoundFile(data)
        guessed = not any(tag in data.getvalue()[: data.tell()] for tag in (b"Xing", b"Info", b"VBRI"))
    try:
        if not mp3 and begin:
            sound.seek(begin)
        waveform = sound.read(-1 if mp3 else end - begin, dtype="float32", always_2d=True)
    except soundfile.SoundFileError:
        raise _unreadable(audio, "damaged or cut short") from None
    following = data.read(2)
    unread = guessed and len(following) == 2 and following[0] == 0xFF and following[1] >= 0xE0  # another frame begins
    wanted = frames if mp3 else end - begin
    if unread or len(waveform) < wanted * (0.9 if guessed else 1):
        reason = "its bit rate varies and it has no header with its length: convert it" if guessed else "cut short"
        raise _unreadable(audio, reason)
    if len(waveform) < wanted:
        waveform = np.pad(waveform, ((0, wanted - len(waveform)), (0, 0)))
    return waveform[begin:end] if mp3 else waveform


def _unreadable(audio: Mapping[str, Any], reason: str) -> MMTransferError:
    where = audio["path"] or "a recording in memory"
    return MMTransferError(f"not a readable recording ({reason})", where, "replace the file, or leave it out")


def _resampled(frames: int, own: int, rate: int) -> int:
    """Samples after resampling: as many as start within the recording, ceil(frames * rate / own)."""
    return -(-frames * rate // own)
