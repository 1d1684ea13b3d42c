"""Encoders of transformers from a folder, the local cache or the hub."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError
from torch import nn

from mmtransfer import hub
from mmtransfer.backbones import attention, dropout, foreign, image_encoders, processors, speech, text, whole_text
from mmtransfer.backbones.attention import ATTENTION
from mmtransfer.backbones.staged import Backbone
from mmtransfer.errors import MMTransferError, unknown

logger = logging.getLogger("mmtransfer")


def families() -> list[str]:
    """The `model_type`s of transformers that have a class here."""
    return [*text.FAMILIES, *speech.FAMILIES, *image_encoders.FAMILIES]


def family_of(config: Mapping[str, Any], where: str) -> Any:
    """The class for a configuration; raises MMTransferError for a `model_type` that is no encoder of text, speech or
    images."""
    from transformers import CONFIG_MAPPING

    kind = str(config.get("model_type"))
    for registry in (text.FAMILIES, speech.FAMILIES, image_encoders.FAMILIES):
        if kind in registry:
            return registry[kind]
    if kind in CONFIG_MAPPING and whole_text.one_stage(_configured(config)) is not None:
        return whole_text.OneStage
    code = foreign.code_named(config, "AutoModel") or foreign.code_named(config, "AutoConfig")
    if code:
        raise foreign.refusal(f"The model type {kind!r}", code, where)
    raise unknown("model type", kind, families(), where)


def build(config: Mapping[str, Any]) -> Backbone:
    """A backbone of this configuration with random weights."""
    family = family_of(config, "the configuration")
    made = _made(config, family)
    library, options = _library(family, made)
    backbone: Backbone = family(dropout.quick(library(made, **options)))
    backbone.source = "random weights"
    if backbone.modality == "speech":
        stem = cast(nn.Conv1d, cast(speech.Convolutions, backbone.stages[0]).layers[0].conv)
        if stem.kernel_size[0] >= speech.FILTERBANK_FROM:
            speech.filterbank(stem)
    return backbone


def configuration(name: str) -> dict[str, Any]:
    """config.json of a folder or a hub name."""
    from transformers import PretrainedConfig

    def fetched(local: bool) -> dict[str, Any]:
        return dict(PretrainedConfig.get_config_dict(name, local_files_only=local)[0])

    return fetch(name, fetched)


def load_encoder(name: str, config: Mapping[str, Any], own_weights: bool) -> Backbone:
    """A backbone from a folder or a hub name, in float32 whatever the file's dtype.

    `config`: from `configuration(name)`; `own_weights`: False for random ones, with the tokenizer all the same.
    Raises MMTransferError for missing, unexpected or misshapen tensors; heads and poolers are dropped aloud.
    """
    with _readable(name):
        preprocess = _preprocess(name, config)  # before the weights: it is read in no time, and may be missing
        backbone = _loaded(name, config) if own_weights else build(config)
    backbone.name = name
    code = foreign.code_named(config, "AutoModel")
    if code:
        logger.warning(
            "%s names code of its own (%s), which is never run: it is read as %s", name, code, backbone.family
        )
    if isinstance(backbone, whole_text.OneStage):
        logger.warning("%s has no stages here: it is one stage, frozen or trained as a whole", backbone.family)
    if own_weights:
        backbone.source = name
    if backbone.modality == "text":
        backbone.tokenizer = tokenizer_of(name, int(backbone.config["vocab_size"]))
    backbone.preprocess = {**backbone.preprocess, **preprocess}
    return backbone


def _preprocess(name: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """What the checkpoint's own processor says; of text nothing, which has a tokenizer."""
    modality = family_of(config, f"--backbone {name}").modality
    readers = {"speech": processors.speech, "image": processors.pictures}
    return readers[modality](name) if modality in readers else {}


def _configured(config: Mapping[str, Any]) -> Any:
    from transformers import AutoConfig

    return AutoConfig.for_model(**config)


def _made(config: Mapping[str, Any], family: Any) -> Any:
    """The library's configuration object."""
    # add_adapter: Wav2Vec2's strided layers on top, whose frames would not follow the encoder's own formula
    made = _configured({**config, "add_adapter": False} if family.modality == "speech" else config)
    if family.modality == "image":  # of a model of pictures and texts the tower for pictures
        made = getattr(made, "vision_config", made)
    if family.attention is not None:
        made._attn_implementation = attention.register() if family.attention == ATTENTION else family.attention
    return made


def _library(family: Any, made: Any) -> tuple[Any, dict[str, Any]]:
    """The library's class for a family, and its keyword arguments beside the configuration."""
    import transformers

    if family.library:
        return getattr(transformers, family.library), dict(family.options)
    library: Any = whole_text.one_stage(made)
    unpooled = "add_pooling_layer" in inspect.signature(library.__init__).parameters
    return library, {"add_pooling_layer": False} if unpooled else {}


def _loaded(name: str, config: Mapping[str, Any]) -> Backbone:
    family = family_of(config, f"--backbone {name}")
    made = _made(config, family)
    library, options = _library(family, made)

    def fetched(local: bool) -> tuple[Any, dict[str, Any]]:
        with quiet(), foreign.pickles(name):
            return library.from_pretrained(
                name,
                config=made,
                dtype=torch.float32,
                local_files_only=local,
                trust_remote_code=False,
                ignore_mismatched_sizes=True,  # else the names are only in the library's log
                output_loading_info=True,
                **options,
            )

    model, info = fetch(name, fetched)
    backbone: Backbone = family(dropout.quick(model.train()))
    extra = sorted(info["unexpected_keys"])
    old = [key for key in extra if backbone.is_head(key)]
    wrong = {
        "missing": sorted(set(info["missing_keys"]) - {"masked_spec_embed"}),
        "unexpected": [key for key in extra if key not in old],
        "misshapen": sorted(str(key[0]) for key in info["mismatched_keys"]),
    }
    if any(wrong.values()):
        found = "; ".join(f"{len(keys)} {kind}: {', '.join(keys[:10])}" for kind, keys in wrong.items() if keys)
        raise MMTransferError(f"The weights do not fit config.json: {found}", f"--backbone {name}", "check both files")
    if old:
        more = f" and {len(old) - 10} more" if len(old) > 10 else ""
        logger.info("dropped of the checkpoint, as only its own training needed it: %s%s", ", ".join(old[:10]), more)
    return backbone


def tokenizer_of(name: str, vocabulary: int) -> Any:
    """The tokenizer of a folder or a hub name; raises MMTransferError if it has more than `vocabulary` tokens."""
    tokenizer = fetch(name, lambda local: foreign.tokenizer(name, f"--backbone {name}", local))
    # without its files, transformers 5 makes a tokenizer of nothing but special tokens: all words would be [UNK]
    if len(tokenizer) <= len(tokenizer.all_special_tokens):
        raise MMTransferError(
            "No tokenizer beside the weights", f"--backbone {name}", "save it there: tokenizer.save_pretrained(FOLDER)"
        )
    if len(tokenizer) > vocabulary:
        raise MMTransferError(
            f"The tokenizer has {len(tokenizer)} tokens, the backbone {vocabulary}",
            f"--backbone {name}",
            "put the tokenizer that belongs to the weights beside them",
        )
    return tokenizer


def fetch(name: str, read: Any) -> Any:
    """`read(local)` from disk, else from the hub if it answers; errors as MMTransferError."""
    folder = Path(name).is_dir()
    with _readable(name):
        try:
            try:
                return read(True)
            except OSError:
                if folder or not hub.reachable():
                    raise
            return read(False)
        except MMTransferError:
            raise
        except (OSError, ValueError, KeyError, RuntimeError, SafetensorError):
            if folder:
                raise
            raise MMTransferError(
                f"Could not get {name!r}: not in the local cache, and {hub.endpoint()} is out of reach or does not have"
                " it",
                f"--backbone {name}",
                "check name and network, or give a local folder with config.json, weights and (text) tokenizer "
                "(--weights none needs its config.json, too), or --backbone builtin, which needs no network",
            ) from None


@contextmanager
def _readable(name: str) -> Iterator[None]:
    """Whatever the files of a folder make the libraries raise, which is anything, becomes an MMTransferError."""
    try:
        yield
    except MMTransferError:
        raise
    except Exception as error:
        if not Path(name).is_dir():
            raise
        first = next(iter(str(error).splitlines()), type(error).__name__)
        raise MMTransferError(f"Not readable: {first}", f"--backbone {name}", "check the folder's files") from None


@contextmanager
def quiet() -> Iterator[None]:
    """transformers prints a table of the keys that it did not use, and a bar; we say it in one line."""
    from transformers.utils import logging as library

    level, bar = library.get_verbosity(), library.is_progress_bar_enabled()
    library.set_verbosity_error()
    library.disable_progress_bar()
    try:
        yield
    finally:
        library.set_verbosity(level)
        if bar:
            library.enable_progress_bar()
