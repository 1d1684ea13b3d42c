"""Makes the run folders that later versions must go on reading: `python make.py`, with the version that is to be kept.

Random weights and data of a few kB: a run a task twice (with two settings, so that they can be compared), a stopped run
with its checkpoint, and what the version said of them (`expected.json`), packed as VERSION.tar.xz. The weights of the
network for pictures repeat a short pattern, so that they pack small.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
import tarfile
import tempfile
from importlib import metadata
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"
HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

import tiny  # noqa: E402

TASKS = {"image": "image-classification", "text": "text-classification", "speech": "speech-recognition"}
COMMON = ["--threads", "1", "--precision", "fp32", "--cache", "off", "--epochs", "1"]


def main() -> None:
    """Writes the archive of the version that is installed."""
    version = metadata.version("mmtransfer")
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        expected = {name: _runs(name, task) for name, task in TASKS.items()}
        _stopped()
        Path("expected.json").write_text(json.dumps(expected, indent=2) + "\n")
        _forget_the_machine()
        with tarfile.open(HERE / f"{version}.tar.xz", "w:xz", preset=9) as archive:
            for path in sorted(Path().rglob("*")):
                if path.is_file() and not _left_out(path):
                    archive.add(path, recursive=False, filter=_plain)


def _left_out(path: Path) -> bool:
    """What no test reads: what pictures and recordings were trained on, and links."""
    return ".weights" in path.parts or path.name == "net.safetensors" or "train" in path.parts


def _runs(name: str, task: str) -> dict[str, Any]:
    """Two runs of a task in runs/, and what they answer."""
    from mmtransfer import load

    place = Path("data") / name
    place.mkdir(parents=True)
    flags = _pictures(place) if name == "image" else [*getattr(tiny, name)(place), "--weights", "none"]
    test = flags[3]
    for number, own in enumerate(([], ["--batch-size", "16"])):
        _command("fit", task, *flags, "--test", test, *COMMON, *own, "--out", f"runs/{name}-{number}")
    run = load(f"runs/{name}-0")
    scores = {key: score.value for key, score in run.evaluate(test).items()}
    inputs = str(place / "inputs.txt") if name == "text" else test
    if name == "text":
        Path(inputs).write_text("a b c\nx y z a\nq\n")
    answers = [[p.id, p.label, p.score] for p in run.predict(inputs)]
    if name == "image":
        answers = sorted(answers)
    return {"task": task, "test": test, "inputs": inputs, "scores": scores, "predictions": answers}


def _pictures(folder: Path) -> list[str]:
    """The tiny pictures, and a network whose weights repeat a pattern of 61 random numbers."""
    import torch
    import torchvision
    from safetensors.torch import save_file

    data = tiny.images(folder)[:4]
    model = torchvision.models.shufflenet_v2_x0_5(weights=None)
    pattern = torch.randn(61, generator=torch.Generator().manual_seed(0))
    state = model.state_dict()
    for key, value in state.items():
        if value.dim() > 1 and value.is_floating_point():
            fan_in = value[0].numel()
            whole = pattern.repeat(-(-value.numel() // 61))[: value.numel()]
            state[key] = (whole * (2 / fan_in) ** 0.5).reshape(value.shape).contiguous()
    save_file({key: value for key, value in state.items() if not key.startswith("fc.")}, folder / "net.safetensors")
    network = ["--backbone", "shufflenet_v2_x0_5", "--weights", str(folder / "net.safetensors"), "--image-size", "32"]
    return [*data, *network, "--strategy", "linear-probe"]


def _stopped() -> None:
    """runs/text-stopped: a run of two epochs, stopped by a signal after the first."""
    from mmtransfer.engine import phases

    data = ["--train", "data/text/train.csv", "--validation", "data/text/validation.csv"]
    network = ["--backbone", "data/text/bert", "--weights", "none", "--max-length", "32"]
    validate = phases._validate

    def then_stop(*given: Any) -> Any:
        done = validate(*given)
        phases._validate = validate
        os.kill(os.getpid(), 15)
        return done

    phases._validate = then_stop
    words = [*data, *network, *COMMON[:-1], "2"]
    with contextlib.suppress(SystemExit):
        _command("fit", TASKS["text"], *words, "--out", "runs/text-stopped")


def _command(*words: str) -> None:
    from mmtransfer import cli

    sys.argv = ["mmtransfer", *words]
    with contextlib.redirect_stdout(io.StringIO()):
        cli.main(list(words))


def _forget_the_machine() -> None:
    for path in Path("runs").glob("*/environment.json"):
        content = json.loads(path.read_text())
        path.write_text(json.dumps(content | {"platform": "Linux", "processor": "a processor"}, indent=2) + "\n")


def _plain(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = entry.mtime = 0
    entry.uname = entry.gname = ""
    entry.mode = 0o644
    return entry


if __name__ == "__main__":
    main()
