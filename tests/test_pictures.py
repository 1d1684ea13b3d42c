"""Pictures that are turned, huge, deep or broken, and the numbers that normalise them: from `fit` and `predict`."""

from __future__ import annotations

import io
import json
import tracemalloc
import warnings

import numpy as np
import pytest
import tiny
from PIL import Image

import mmtransfer as mmt
from mmtransfer.cli.flags import parse
from mmtransfer.config import IMAGE
from mmtransfer.data import images
from mmtransfer.errors import MMTransferError

BROKEN = [b"Exif\0\0garbage", b"Exif\0\0II*\0", b"Exif\0\0MM\0*\0\0"]
"""EXIF for which Pillow raises SyntaxError, and struct.error twice."""


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> mmt.Run:
    folder = tmp_path_factory.mktemp("images")
    words = [*tiny.images(folder), "--weights", "none", "--epochs", "1", "--strategy", "linear-probe"]
    return mmt.fit(**parse(IMAGE, words, {}, "a test"), threads=1, cache="off", out=folder / "run")


def colours(height: int = 24, width: int = 40) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8))


def turned(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_a_turned_picture_is_seen_alike_however_it_is_given(run, tmp_path, kind):
    for orientation in (3, 6, 7):
        path = tmp_path / f"{orientation}.{kind.lower()}"
        colours().save(path, exif=turned(orientation))
        given = [path, str(path), path.read_bytes(), Image.open(path), {"bytes": path.read_bytes()}]
        pixels = np.asarray(images.decode({"path": str(path), "bytes": None}))
        assert pixels.shape == ((40, 24, 3) if orientation > 4 else (24, 40, 3))
        scores = [one.scores for one in run.predict([*given, pixels])]
        assert scores == [pytest.approx(scores[0])] * len(scores)
    upright = colours()
    assert run.predict([upright])[0].scores != pytest.approx(scores[0], abs=1e-6)


@pytest.mark.parametrize("kind", ["png", "webp"])
@pytest.mark.parametrize("exif", BROKEN)
def test_readable_pixels_are_read_without_broken_exif(run, tmp_path, kind, exif):
    options = {"lossless": True} if kind == "webp" else {}
    colours().save(tmp_path / f"a.{kind}", **options)
    colours().save(tmp_path / f"b.{kind}", exif=exif, **options)
    first, second = run.predict(tmp_path)
    assert first.scores == pytest.approx(second.scores)
    (opened,) = run.predict([Image.open(tmp_path / f"b.{kind}")])
    assert first.scores == pytest.approx(opened.scores)


def test_pictures_with_broken_exif_are_trained_on(command, tmp_path):
    words = tiny.images(tmp_path)
    place = tmp_path / "images" / "train" / "a"
    for number, exif in enumerate(BROKEN):
        colours().save(place / f"{number}.png", exif=exif)
    few = ["--weights", "none", "--epochs", "1", "--threads", "1", "--strategy", "linear-probe"]
    assert command("fit", IMAGE, *words, *few, "--out", tmp_path / "run")[0] == 0


def test_a_picture_that_pil_has_opened_but_cannot_read_is_told_by_its_row(run, tmp_path):
    colours(200, 200).save(tmp_path / "a.png")
    half = (tmp_path / "a.png").read_bytes()[:20_000]
    with pytest.raises(MMTransferError, match="1 of 2 examples cannot be used: row 1: not a readable image"):
        run.predict([colours(), Image.open(io.BytesIO(half))])


def test_more_pixels_than_are_read_are_told_by_name_and_not_by_a_warning(run, command, tmp_path, monkeypatch):
    large, huge = colours(24, 60), colours(60, 60)
    for name, picture in (("large", large), ("huge", huge), ("small", colours(20, 20))):
        picture.save(tmp_path / f"{name}.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)  # Pillow warns above it, and refuses above twice as many
    reason = "the image has more than 1,000 pixels, the most that is read: make it smaller"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        status, _, said = command("predict", run.folder.path, tmp_path)
        assert status == 2 and f"large.png: {reason}" in said and f"huge.png: {reason}" in said, said
        assert "2 of 3 examples" in said and "Warning" not in said
        with pytest.raises(MMTransferError) as error:
            run.predict([large, np.asarray(huge), (tmp_path / "large.png").read_bytes(), colours(20, 20)])
    assert error.value.what.startswith(
        f"3 of 4 examples cannot be used: row 0: {reason}; row 1: {reason}; row 2: {reason}"
    )


@pytest.mark.parametrize(("dtype", "most"), [(np.uint16, 9e6), (np.int32, 13e6), (np.float32, 13e6)])
def test_deep_pictures_are_not_copied_into_wider_numbers(tmp_path, dtype, most):
    deep = (np.random.default_rng(0).random((1500, 1500)) * 60_000).astype(dtype)
    Image.fromarray(deep).save(tmp_path / "a.tif")
    tracemalloc.start()
    found = np.asarray(images.decode({"path": str(tmp_path / "a.tif"), "bytes": None}))[:, :, 0]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < most + 6.75e6  # one copy of what Pillow holds, the grey and the RGB result
    scaled = deep.clip(0, 255) if dtype == np.float32 else deep.astype(np.float64) / 257
    assert np.array_equal(found, np.rint(scaled).astype(np.uint8))


def test_every_sixteen_bit_value_is_rounded_to_the_nearest(tmp_path):
    values = np.arange(65_536, dtype=np.uint16).reshape(256, 256)
    Image.fromarray(values).save(tmp_path / "a.png")
    found = np.asarray(images.decode({"path": str(tmp_path / "a.png"), "bytes": None}))[:, :, 2]
    assert np.array_equal(found, np.rint(values / 257).astype(np.uint8))


def test_numbers_that_are_no_brightness_are_black_or_white(tmp_path):
    values = np.array([[0.0, 0.5, 1.0, np.nan], [-1.0, 0.25, -np.inf, 0.75]], np.float32)
    Image.fromarray(values).save(tmp_path / "a.tif")
    file = {"path": str(tmp_path / "a.tif"), "bytes": None}
    assert np.asarray(images.decode(file))[:, :, 0].tolist() == [[0, 128, 255, 0], [0, 64, 0, 191]]
    Image.fromarray(np.full((2, 2), np.nan, np.float32)).save(tmp_path / "a.tif")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not np.asarray(images.decode(file)).any()


def test_a_strip_is_not_enlarged_whole():
    strip = Image.fromarray(np.tile(np.arange(1000, dtype=np.uint8)[None, :, None], (1, 2, 3)))
    transform = images.ImageTransform(224, (0.0,) * 3, (1.0,) * 3)
    Image.core.clear_cache()
    Image.core.reset_stats()
    pixels = transform(strip) / 255
    blocks = Image.core.get_stats()["allocated_blocks"]
    assert blocks <= 6  # of 16 MiB: the whole strip, 256 x 512,000 pixels, needs more than thirty
    middle = strip.crop((900, 0, 1100, 1))
    assert np.abs(pixels.mean().item() - np.asarray(middle).mean() / 255) < 0.5 and pixels.shape == (3, 224, 224)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"mean": (0.5, 0.5)}, "--mean must be three numbers, not (0.5, 0.5)"),
        ({"mean": (0.5, float("nan"), 0.5)}, "--mean must be three numbers, not (0.5, nan, 0.5)"),
        ({"mean": "0.5"}, "--mean must be three numbers, not '0.5'"),
        ({"std": (0.2, 0.0, 0.2)}, "--std must be three numbers above 0, not (0.2, 0.0, 0.2)"),
        ({"std": (0.2, -0.1, 0.2)}, "--std must be three numbers above 0, not (0.2, -0.1, 0.2)"),
        ({"std": (0.2, float("inf"), 0.2)}, "--std must be three numbers above 0, not (0.2, inf, 0.2)"),
        ({"std": 0.5}, "--std must be three numbers above 0, not 0.5"),
    ],
)
def test_channel_numbers_that_cannot_be_are_told(command, tmp_path, fields, said):
    given = {"train": "builtin:digits", "backbone": "resnet18", "weights": "none", "image_size": 32}
    with pytest.raises(MMTransferError) as error:
        mmt.fit(task=IMAGE, **given, **fields, out=tmp_path / "run")
    assert error.value.what == said and not (tmp_path / "run").exists()
    ((name, values),) = fields.items()
    (tmp_path / "a.json").write_text(json.dumps({**given, name: values}))
    words = ["fit", IMAGE, "--config", tmp_path / "a.json", "--out", tmp_path / "run"]
    if isinstance(values, tuple) and len(values) == 3:
        words = ["fit", IMAGE, *(f"--{n.replace('_', '-')}={v}" for n, v in given.items()), f"--{name}", *values]
    status, _, heard = command(*words)
    assert status == 2 and f"--{name} must be three numbers" in heard and "Traceback" not in heard, heard


def test_two_channel_numbers_on_the_command_line_are_status_two(command):
    assert command("fit", IMAGE, "--train", "builtin:digits", "--mean", "0.5", "0.5")[0] == 2
