"""Tables that leave one speaker out, from a set of six tiny recordings."""

from __future__ import annotations

import numpy as np
import soundfile

from benchmarks import fsdd_speakers
from mmtransfer.data.sources import load


def test_each_speaker_is_a_test_set_once(tmp_path, capsys, monkeypatch):
    for split in ("train", "test"):
        folder = tmp_path / "fsdd" / split
        folder.mkdir(parents=True)
        lines = ["file_name,text,speaker"]
        for number, speaker in enumerate(("ann", "bob", "cy")):
            soundfile.write(folder / f"{number}.wav", np.full(100, 0.1, np.float32), 8000)
            lines.append(f"{number}.wav,one,{speaker}")
        (folder / "metadata.csv").write_text("\n".join(lines) + "\n")
    out = tmp_path / "out"
    monkeypatch.setattr("sys.argv", ["fsdd_speakers", str(tmp_path / "fsdd"), "--out", str(out)])
    fsdd_speakers.main()
    assert capsys.readouterr().out.count("mmtransfer fit speech-recognition --train") == 3
    for speaker in ("ann", "bob", "cy"):
        train, test = (load(out / speaker / f"{split}.csv", "audio") for split in ("train", "test"))
        assert (len(train), len(test)) == (4, 2) and set(test.column("speaker")) == {speaker}
        assert speaker not in train.column("speaker") and not set(train.ids) & set(test.ids)
