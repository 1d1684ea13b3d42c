"""Recordings, or segments of them, as samples: any format of libsndfile, rate and channels -> mono float32 at one rate.

soundfile reads, soxr resamples.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

import numpy as np
import soundfile
import torch
from torch import Tensor

from mmtransfer.data.file import File, location, openable, read_contents
from mmtransfer.data.resampling import resample, resampled
from mmtransfer.errors import MMTransferError

HIGHEST_RATE = 2_000_000
"""Samples a second; resampling takes time by the rate, and no recorder is faster."""
SUFFIXES: frozenset[str] = frozenset(
    {".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".au", ".w64", ".caf"}
)
_WHOLE = frozenset({"PCM_S8", "PCM_U8", "PCM_16", "PCM_24", "PCM_32", "ULAW", "ALAW"})
"""Encodings in which any bytes are samples, all of them finite: only their number can be wrong."""
_FULL_SCALE = 2**15
"""Of 16-bit samples."""
_BLOCK = 2**18
"""Values, over all channels, that the check decodes at a time."""
_LOUDEST = 1e15
"""Largest sample that is taken for one: above it, variances leave float32. Full scale is 1."""
_HOP = 0.01
_BEYOND = 0.02
"""Seconds by which a segment may end after its recording: times in tables are rounded."""


def read_samples(audio: Mapping[str, Any], rate: int) -> Tensor:
    """The samples of a recording, or of its segment, at `rate` Hz: float32 (samples,), within -1..1, mean of channels.

    Raises MMTransferError if the file cannot be read or ends before the length its header tells. A segment of an MP3
    costs decoding the whole file, because MP3 knows no exact places; of other formats only the segment is read.
    """
    with _open(audio) as sound:
        own = sound.samplerate
        begin, end = _span(audio, sound)
        blocks = _decoded(audio, sound, begin, end, int(sound.frames))
        parts = [block.mean(axis=1) if block.shape[1] > 1 else block[:, 0] for block in blocks]
        waveform = np.concatenate(parts or [np.zeros(0, np.float32)])
        if sound.format == "MP3":
            waveform = waveform[begin:end]
    return resample(torch.from_numpy(waveform), own, rate).contiguous()


def narrowed(samples: Tensor) -> Tensor:
    """The same samples in half the bytes, int16, where all of them are 16-bit numbers, else as they are."""
    whole = samples * _FULL_SCALE
    narrow = whole.clamp(-_FULL_SCALE, _FULL_SCALE - 1).to(torch.int16)
    return narrow if torch.equal(narrow.to(torch.float32), whole) else samples


def widened(samples: Tensor) -> Tensor:
    """What `narrowed` was given."""
    return samples / _FULL_SCALE if samples.dtype == torch.int16 else samples


def extent(audio: Mapping[str, Any]) -> tuple[int, int]:
    """Samples of a recording or of its segment, and how many of them are a second, from the header only."""
    with _open(audio) as sound:
        begin, end = _span(audio, sound)
        return end - begin, int(sound.samplerate)


def samples(audio: Mapping[str, Any], rate: int) -> int:
    """`len(read_samples(audio, rate))`, from the header only."""
    return resampled(*extent(audio), rate)


def seconds(audio: Mapping[str, Any]) -> float:
    """Length of a recording or of its segment, from the header only."""
    count, rate = extent(audio)
    return count / rate


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
    """Why a recording or segment cannot be used; None if it can.

    Lengths are judged by the header. Compressed samples are decoded, because nothing else tells whether they are all
    there, and floating-point ones, because they may be no numbers: a block at a time, so that hours need no memory.
    `max_seconds`: length above which it cannot; None: any.
    """
    try:
        with _open(audio) as sound:
            if sound.samplerate > HIGHEST_RATE:
                return f"{sound.samplerate:,} samples a second are more than the {HIGHEST_RATE:,} that are read"
            return _fault_of_times(audio, sound, max_seconds) or _fault_of_samples(audio, sound)
    except MMTransferError as error:
        return error.what


def from_array(samples: np.ndarray, rate: int) -> File:
    """A float array (samples,) at `rate` Hz as an AU file in memory; ValueError says what else it is."""
    if samples.ndim != 1 or samples.dtype.kind != "f":
        raise ValueError(f"an array must be float (samples,), not {samples.dtype} {samples.shape}")
    if not np.isfinite(samples).all():
        raise ValueError("the array holds values that are not finite")
    buffer = io.BytesIO()
    # a WAV file of floats holds the time of writing: the same array would have another fingerprint every second
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, which `fault` tells
        soundfile.write(buffer, samples.astype(np.float32), rate, format="AU", subtype="FLOAT")
    return {"path": None, "bytes": buffer.getvalue()}


def from_rated(samples: Any, rate: Any) -> File:
    """An array, tensor or list of samples with its rate, as `from_array`; ValueError says what else they are."""
    known = isinstance(rate, int | float | np.number) and not isinstance(rate, bool)
    number = known and 1 <= rate <= HIGHEST_RATE
    if not number or not float(rate).is_integer():
        raise ValueError(
            f"the rate of a recording must be a whole number of samples a second, at most {HIGHEST_RATE:,}, not"
            f" {rate!s:.40}"
        )
    if isinstance(samples, Tensor):
        samples = (samples.float() if samples.is_floating_point() else samples).detach().cpu().numpy()
    if isinstance(samples, list | tuple):
        try:
            samples = np.asarray(samples, np.float32)
        except (TypeError, ValueError, OverflowError):
            raise ValueError("the samples of a recording must be numbers, one after the other") from None
    if not isinstance(samples, np.ndarray):
        raise ValueError(f"the samples of a recording must be an array, not a {type(samples).__name__}")
    return from_array(samples, int(float(rate)))


def _open(audio: Mapping[str, Any]) -> soundfile.SoundFile:
    try:
        return soundfile.SoundFile(openable(audio))
    except (soundfile.SoundFileError, OSError, TypeError, ValueError) as error:  # TypeError: samples without a header
        raise _unreadable(audio, str(error).split("Error opening ")[-1]) from None


def _span(audio: Mapping[str, Any], sound: soundfile.SoundFile) -> tuple[int, int]:
    """First frame and the one after the last, at the file's own rate; of a segment beyond the recording, what is there.

    Both ends are rounded alone, so that segments that touch share no frame and leave none out.
    """
    if audio.get("start") is None:
        return 0, int(sound.frames)
    begin, end = (min(max(0, round(audio[side] * sound.samplerate)), int(sound.frames)) for side in ("start", "stop"))
    return begin, end


def _fault_of_times(audio: Mapping[str, Any], sound: soundfile.SoundFile, max_seconds: float | None) -> str | None:
    if sound.frames <= 0:
        return "the recording has zero length"
    begin, end = _span(audio, sound)
    length, whole = (end - begin) / sound.samplerate, sound.frames / sound.samplerate
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


def _fault_of_samples(audio: Mapping[str, Any], sound: soundfile.SoundFile) -> str | None:
    alone = audio["path"] is not None and audio.get("offset") is None
    if sound.format == "MP3" and audio.get("start") is not None and alone:
        return _fault_of_mp3(audio["path"], os.stat(audio["path"]).st_mtime_ns)
    begin, end = _span(audio, sound)
    if sound.format != "FLAC" and sound.subtype in _WHOLE:
        begin = end - 1
    done = 0
    for block in _decoded(audio, sound, begin, end, max(1, _BLOCK // sound.channels)):
        wrong = ~(np.abs(block) <= _LOUDEST)  # so that NaN is wrong as well
        if wrong.any():
            frame, channel = np.argwhere(wrong)[0]
            place = (begin + done + frame) / sound.samplerate
            return f"the sample at {place:.3f} s is {block[frame, channel]:g}, full scale is 1"
        done += len(block)
    return None


@lru_cache(maxsize=1024)
def _fault_of_mp3(path: str, changed: int) -> str | None:
    """That of a whole MP3, once for all its segments: there is no decoding from the middle. `changed`: its time."""
    return fault({"path": path, "bytes": None})


def _decoded(
    audio: Mapping[str, Any], sound: soundfile.SoundFile, begin: int, end: int, size: int
) -> Iterator[np.ndarray]:
    """Samples `begin` to `end` (of an MP3 all), float32 (frames, channels), at most `size` at a time; all in all
    exactly as many as the header tells.

    libsndfile guesses the length of an MP3 without a Xing, Info or VBRI frame from the first bit rate. A constant rate
    makes it too long by less than a percent: silence is added. A varying one makes it anything, and where it is too
    short libsndfile never reads the rest: such files are refused.
    """
    guessed, data, mp3 = False, io.BytesIO(), sound.format == "MP3"
    if mp3:
        begin, end = 0, int(sound.frames)
        data = io.BytesIO(read_contents(audio))
        sound = soundfile.SoundFile(data)
        guessed = not any(tag in data.getvalue()[: data.tell()] for tag in (b"Xing", b"Info", b"VBRI"))
    left = end - begin
    try:
        if begin:
            sound.seek(begin)
        while left > 0 and len(block := sound.read(min(size, left), dtype="float32", always_2d=True)):
            left -= len(block)
            yield block
    except soundfile.SoundFileError:
        raise _unreadable(audio, "damaged or cut short") from None
    following = data.read(2)
    unread = guessed and len(following) == 2 and following[0] == 0xFF and following[1] >= 0xE0  # another frame begins
    if unread or left > (0.1 if guessed else 0) * (end - begin):
        reason = "its bit rate varies and it has no header with its length: convert it" if guessed else "cut short"
        raise _unreadable(audio, reason)
    if left:
        yield np.zeros((left, sound.channels), np.float32)


def _unreadable(audio: Mapping[str, Any], reason: str) -> MMTransferError:
    where = location(audio, "a recording")
    return MMTransferError(f"not a readable recording ({reason})", where, "replace the file, or leave it out")
