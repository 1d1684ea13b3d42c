"""The guides keep their word: their code runs, in order, on small data; links lead somewhere; messages are ours."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import tiny

from mmtransfer.defaults import DEFAULTS
from mmtransfer.strategies import STRATEGIES

ROOT = Path(__file__).parent.parent
GUIDES = sorted((ROOT / "recipes/guides").glob("*.md"))
NOTEBOOKS = sorted((ROOT / "recipes/guides").glob("*.ipynb"))
BLOCK = re.compile(r"^ *```(\w+)\n(.*?)^ *```", re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small data where the guides look for a user's: pictures, train.csv, test.csv, speech, sounds."""
    import soundfile
    import transformers
    from PIL import Image

    folder = tmp_path_factory.mktemp("guides")
    for part in ("train/ant", "train/bee", "val/ant", "val/bee"):
        (folder / "pictures" / part).mkdir(parents=True)
        for number in range(6):
            shade = (90 + 9 * number, 40, part.count("v")) if "ant" in part else (50, 90 + 9 * number, part.count("v"))
            Image.new("RGB", (32, 32), shade).save(folder / "pictures" / part / f"{number}.jpg")
    tiny.text(folder)
    (folder / "validation.csv").rename(folder / "test.csv")
    for make, name in ((tiny.speech, "speech"), (tiny.sounds, "sounds")):
        (folder / "made").mkdir()
        make(folder / "made")
        (folder / "made/speech").rename(folder / name)
        (folder / name / "validation").rename(folder / name / "test")
        for file in (folder / name).rglob("*.wav"):
            samples, rate = soundfile.read(file)
            soundfile.write(file, np.tile(samples, 4), rate)  # long enough for a frame a letter
        shutil.rmtree(folder / "made")
    tiny.bert(folder / "path/to/data2vec", list("abc"))
    config = transformers.Data2VecTextConfig(**{**tiny.BERT, "vocab_size": 8, "pad_token_id": 0})
    transformers.Data2VecTextModel(config).save_pretrained(folder / "path/to/data2vec")
    return folder


def blocks(guide: Path) -> Iterator[tuple[str, str]]:
    """The language and the text of each block, without the indentation that it has in a list."""
    for language, code in BLOCK.findall(guide.read_text()):
        indent = len(code) - len(code.lstrip(" "))
        yield language, "\n".join(line[indent:] for line in code.split("\n"))


@pytest.mark.parametrize("guide", GUIDES, ids=lambda path: path.stem)
def test_the_code_of_a_guide_runs(
    guide: Path,
    place: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    command: Callable[..., tuple[int, str, str]],
) -> None:
    monkeypatch.chdir(shutil.copytree(place, tmp_path / "here"))
    for task in DEFAULTS:
        monkeypatch.setitem(DEFAULTS[task], "epochs", 1)  # type: ignore[arg-type]
    monkeypatch.setattr(STRATEGIES, "_entries", dict(STRATEGIES._entries))  # a guide adds one
    names: dict[str, object] = {}
    for language, code in blocks(guide):
        if language == "python":
            exec(compile(code, guide.name, "exec", dont_inherit=True), names)
        elif language == "bash":
            for line in code.strip().replace("--max-minutes 10", "--max-minutes 0.2").splitlines():
                verb, *words = shlex.split(line)
                status, _, said = command(*words)
                assert verb == "mmtransfer" and status == 0, f"{line}\n{said}"
        else:
            assert language == "text", language  # shown, not run


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_cells_of_a_notebook_run(notebook: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    cells = [cell for cell in json.loads(notebook.read_text())["cells"] if cell["cell_type"] == "code"]
    names: dict[str, object] = {}
    for cell in cells:
        exec(compile("".join(cell["source"]), notebook.name, "exec", dont_inherit=True), names)
    assert len(cells) > 2 and list(tmp_path.glob("runs/*/result.json"))


def test_links_of_the_guides_and_of_the_readme_lead_somewhere() -> None:
    for page in (*GUIDES, ROOT / "README.md", ROOT / "recipes/multi_device.md"):
        for link in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text()):
            assert link.startswith("https://") or (page.parent / link).exists(), f"{page.name}: {link}"


def test_every_guide_is_in_the_list() -> None:
    listed = (ROOT / "recipes/guides/README.md").read_text()
    pages = [page.name for page in (*GUIDES, *NOTEBOOKS) if page.name != "README.md"]
    assert len(pages) > 9 and all(f"]({name})" in listed for name in pages)


def test_the_messages_that_are_explained_are_ours() -> None:
    source = "".join(path.read_text() for path in (ROOT / "mmtransfer").rglob("*.py"))
    messages = re.findall(r"^\| `([^`]+)` \|", (ROOT / "recipes/guides/troubleshooting.md").read_text(), re.MULTILINE)
    unknown = [name for name in messages if name not in source and name != "Unknown backbone"]
    assert len(messages) > 10 and not unknown  # `unknown(kind, ...)` writes that one
