"""Backbones that come with the installation, one a modality: small, pretrained, read without network.

mmtransfer/builtin/NAME/
  backbone.json          architecture (`Backbone.describe`)
  backbone.safetensors   matrices in float16, vectors (biases, norms and their statistics) in float32
  tokenizer.json, ...    of text
  lm_head.safetensors    of speech the CTC head, with vocab.json and what else transformers reads a CTC model from
  checksum               sha256 of each file above, as `sha256sum -c` reads it
  MODEL_CARD.md          what it learned from, for how long, its scores, its licence
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import Tensor

from mmtransfer import files
from mmtransfer.backbones import interchange, weights
from mmtransfer.backbones.staged import Backbone
from mmtransfer.errors import MMTransferError, unknown

NAME, PREFIX = "builtin", "builtin:"
MODALITIES = ("image", "text", "speech")
FOLDER = Path(__file__).parents[1] / "builtin"
CHECKSUM, CARD = "checksum", "MODEL_CARD.md"


def is_builtin(name: str) -> bool:
    """Whether a backbone's name asks for a built-in one: `builtin` or `builtin:NAME`."""
    return name == NAME or name.startswith(PREFIX)


def modality_of(name: str, modality: str | None) -> str:
    """The modality of a built-in backbone, which is its name; `builtin` alone is that of the task.

    Raises MMTransferError for an unknown name, and for `builtin` where no task says which.
    """
    if name != NAME:
        chosen = name.removeprefix(PREFIX)
        if chosen not in MODALITIES:
            raise unknown("built-in backbone", chosen, MODALITIES, f"--backbone {name}")
        return chosen
    if modality is None:
        options = ", ".join(PREFIX + option for option in MODALITIES)
        what = "There are three built-in backbones, and nothing here says which one is meant"
        raise MMTransferError(what, f"backbone {name}", f"give one of {options}")
    return modality


def load_packed(name: str, random: bool = False) -> Backbone:
    """The built-in backbone `image`, `text` or `speech`, in float32; `random`: without its weights.

    Raises MMTransferError where a file is missing or is not the one that was packed.
    """
    folder = FOLDER / name
    _verify(folder, name)
    backbone = weights.read_model(folder, random)
    backbone.source = "random weights" if random else PREFIX + name
    return backbone


def pack(
    backbone: Backbone, name: str, card: str, ctc: Mapping[str, Tensor] | None = None, symbols: Sequence[str] = ()
) -> Path:
    """Writes a trained backbone into the package, with its model card (Markdown); returns its folder.

    `ctc`, `symbols`: of speech its CTC head and what the head's rows stand for, as `interchange.write` takes them.
    """
    folder = FOLDER / name
    weights.save(backbone, folder)
    state = backbone.library_state()
    halves = {
        key: value.half() if value.is_floating_point() and value.dim() > 1 else value for key, value in state.items()
    }
    overflown = [key for key, value in halves.items() if not value.isfinite().all()]
    if overflown:
        raise ValueError(f"not finite in float16: {', '.join(overflown)}")
    files.write_tensors(folder / weights.TENSORS, halves, weights.FORMAT)
    if ctc is not None:
        interchange.write(backbone, folder, ctc, symbols)
    files.write_text(folder / CARD, card)
    packed = sorted(path for path in folder.rglob("*") if path.is_file() and path.name not in (CHECKSUM, CARD))
    lines = [f"{files.digest(path, 'sha256')}  {path.relative_to(folder).as_posix()}\n" for path in packed]
    files.write_text(folder / CHECKSUM, "".join(lines))
    return folder


def _verify(folder: Path, name: str) -> None:
    what, where = f"The built-in backbone for {name}", str(folder)
    do = "install mmtransfer again, or give another --backbone"
    if not (folder / CHECKSUM).is_file():
        raise MMTransferError(f"{what} is not installed", where, do)
    for line in (folder / CHECKSUM).read_text(encoding="utf-8").splitlines():
        digest, _, file = line.partition("  ")
        if not (folder / file).is_file():
            raise MMTransferError(f"{what} is not whole: {file} is missing", where, do)
        if files.digest(folder / file, "sha256") != digest:
            raise MMTransferError(f"{what} is damaged: {file} has another checksum", where, do)
