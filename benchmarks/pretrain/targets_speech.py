"""The built-in speech data `builtin:commands`: short spoken commands with numbers, names and spelled words.

    python -m benchmarks.pretrain.targets_speech       # writes mmtransfer/data/builtin_commands.parquet

432 synthesised recordings (Opus, 16 kHz) by 36 voices, twelve each; 27 voices are `train`, 9 `test`, and no voice has a
variant that the pretraining heard; nor does it hear a command of three or more words (`speech.py hold-out`). Needs
espeakng-loader; the same versions give the same recordings, in files that differ in the random number of an Ogg stream.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np

from benchmarks.pretrain.degrade import RATE, Degrader
from benchmarks.pretrain.espeak import TARGET_VARIANTS, Manner, Synthesiser
from benchmarks.pretrain.utterances import COMMANDS, FIRST, LAST, MONTHS, ORDINALS, PLACES, Writer, number

TARGET = Path(__file__).parents[2] / "mmtransfer" / "data" / "builtin_commands.parquet"
ACCENTS = ("en-us", "en-us-nyc", "en-gb-x-rp")
TEST_VARIANTS = ("f2", "m3", "linda")
OPENINGS = ("dial", "spell", "phone", "alarm", "volume", "channel", "remind", "drive", "weather")
"""First words of commands of three or more words."""
EACH = 12
"""Recordings a voice."""


def command(w: Writer) -> list[str]:
    """The words of a random command."""
    kind = w.below(11)
    if kind < 2:
        return [w.one(COMMANDS)]
    opening = OPENINGS[kind - 2]
    if opening == "dial":
        return [opening, *(word for _ in range(w.below(5, 2)) for word in number(w.below(10)))]
    if opening == "spell":
        return [opening, *w.one([name for name in (*FIRST, *LAST) if len(name) < 6])]
    if opening == "phone":
        return [opening, w.one(FIRST), w.one(LAST)]
    if opening == "alarm":
        return [opening, "at", *number(w.below(13, 1)), *number(w.below(60, 10))]
    if opening in ("volume", "channel"):
        return [opening, w.one(["up", "down"]) if opening == "volume" else "number", *number(w.below(100))]
    if opening == "remind":
        return [opening, "me", w.one(MONTHS), w.one(ORDINALS)]
    return [opening, "to" if opening == "drive" else "in", w.one(PLACES)]


def make(target: Path) -> None:
    """Writes the Parquet file."""
    import pyarrow as pa
    import pyarrow.parquet as parquet
    import soundfile

    random = np.random.Generator(np.random.Philox([2026, 11]))
    synthesiser, writer, degrade = Synthesiser(2026), Writer(random), Degrader(random)
    columns: dict[str, list[object]] = {name: [] for name in ("id", "audio", "text", "speaker", "split")}
    for variant in TARGET_VARIANTS:
        for accent in ACCENTS:
            voice = f"{accent}+{variant}"
            # a voice keeps its manner, as a speaker does
            manner = Manner(*(int(random.integers(*limits)) for limits in ((140, 220), (25, 75), (25, 75))))
            for place in range(EACH):
                words = command(writer)
                wave = degrade(synthesiser.say(writer.spoken(words), voice, manner), synthesiser.sample_rate)
                data = io.BytesIO()
                soundfile.write(data, wave, RATE, format="OGG", subtype="OPUS", compression_level=0.93)
                row = (f"commands/{voice}/{place:02d}", data.getvalue(), " ".join(words), voice)
                for name, value in zip(columns, (*row, "test" if variant in TEST_VARIANTS else "train"), strict=True):
                    columns[name].append(value)
    parquet.write_table(pa.table(columns), target, compression="none")


if __name__ == "__main__":
    make(TARGET)
    print(f"{TARGET}: {TARGET.stat().st_size} bytes")
