"""Images: every mode becomes the right RGB; the transform is a pure function of (image, seed)."""

from __future__ import annotations

import io
import warnings

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2

from mmtransfer.data import images
from mmtransfer.data.images import ImageTransform
from mmtransfer.errors import MMTransferError


def stored(image: Image.Image, kind: str = "PNG", **options) -> dict:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return {"path": None, "bytes": buffer.getvalue()}


def colours(seed: int = 0, height: int = 40, width: int = 60) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
def test_every_mode_becomes_rgb(mode):
    source = colours().convert(mode)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        image = images.decode(stored(source))
    assert image.mode == "RGB" and image.size == (60, 40)
    assert np.array_equal(np.asarray(image), np.asarray(source.convert("RGBA").convert("RGB")))


def test_cmyk_jpeg_becomes_rgb():
    red = Image.new("CMYK", (8, 8), (0, 255, 255, 0))
    pixel = np.asarray(images.decode(stored(red, "JPEG"))).reshape(-1, 3).mean(0)
    assert pixel[0] > 240 and pixel[1] < 15 and pixel[2] < 15


def test_transparent_palette_does_not_warn():
    source = Image.new("P", (4, 4), 1)
    source.putpalette([0, 0, 0, 10, 20, 30])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        image = images.decode(stored(source, transparency=b"\x00\x80"))
    assert image.getpixel((0, 0)) == (10, 20, 30)


@pytest.mark.parametrize("dtype", [np.uint16, np.int32])
def test_sixteen_bit_is_scaled_not_cut(dtype):
    ramp = np.array([[0, 257, 1000, 257 * 128, 65535]], dtype=dtype)
    image = images.decode(stored(Image.fromarray(ramp), "TIFF"))
    assert np.asarray(image)[0, :, 0].tolist() == [0, 1, 4, 128, 255]


def test_exif_rotation_is_applied():
    source = Image.new("RGB", (40, 20))
    source.paste((255, 255, 255), (0, 0, 40, 10))  # bright on top
    exif = Image.Exif()
    exif[0x0112] = 6  # turn a quarter clockwise to see it upright
    image = images.decode(stored(source, "JPEG", exif=exif))
    assert image.size == (20, 40)
    assert image.getpixel((15, 20))[0] > 200 and image.getpixel((5, 20))[0] < 50  # bright on the right


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("share", [0.0, 0.05, 0.6])
def test_a_broken_image_is_found_by_the_check_and_named_by_decode(tmp_path, kind, share):
    data = stored(colours(height=200, width=200), kind)["bytes"]
    path = tmp_path / "broken.img"
    path.write_bytes(data[: int(len(data) * share)])
    file = {"path": str(path), "bytes": None}
    assert str(images.fault(file)).startswith("not a readable image (")
    with pytest.raises(MMTransferError, match="not a readable image") as error:
        images.decode(file)
    assert error.value.where == str(path)


def test_a_good_image_has_no_fault():
    assert images.fault(stored(colours(), "JPEG")) is None


def test_evaluation_is_what_torchvision_does():
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    image = colours(height=300, width=400)
    chain = v2.Compose(
        [
            v2.Resize(256),
            v2.CenterCrop(224),
            v2.PILToTensor(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(mean, std),
        ]
    )
    transform = ImageTransform(224, mean, std, 224 / 256)
    assert torch.equal(transform.normalise(transform(image)), chain(image))


@pytest.mark.parametrize("size", [(8, 8), (31, 200), (200, 31), (33, 32)])
@pytest.mark.parametrize("seed", [None, 5])
def test_any_size_becomes_the_square(size, seed):
    transform = ImageTransform(32, (0.5,) * 3, (0.5,) * 3, augment="light")
    pixels = transform(Image.new("RGB", size, (255, 0, 255)), seed)
    assert pixels.shape == (3, 32, 32) and pixels.dtype == torch.uint8
    assert pixels[:, 3, 7].tolist() == [255, 0, 255]
    assert transform.normalise(pixels)[:, 3, 7].tolist() == [1.0, -1.0, 1.0]


@pytest.mark.parametrize("augment", ["light", "strong"])
def test_augmentation_is_a_pure_function_of_image_and_seed(augment):
    transform = ImageTransform(16, (0.5,) * 3, (0.5,) * 3, augment=augment)
    torch.manual_seed(1)
    first = transform(colours(), 9)
    torch.manual_seed(2)
    torch.rand(7)
    assert torch.equal(first, transform(colours(), 9))
    drawn = {tuple(transform(colours(), seed).flatten().tolist()) for seed in range(20)}
    assert len(drawn) == 20


def test_strong_is_light_then_changed_and_erased():
    light, strong = (ImageTransform(16, (0.5,) * 3, (0.5,) * 3, augment=name) for name in ("light", "strong"))
    white = Image.new("RGB", (40, 40), (255, 255, 255))
    erased = [bool((strong(white, seed) == 128).all(0).any()) for seed in range(200)]
    assert 25 <= sum(erased) <= 75  # a quarter of them; no change of colour makes half grey of white
    same = sum(torch.equal(light(colours(), seed), strong(colours(), seed)) for seed in range(60))
    assert same < 3  # both of RandAugment's changes are none once in 196 times; one change alone leaves five
    assert all(strong(colours(), seed).shape == (3, 16, 16) for seed in range(20))


def test_half_of_the_seeds_flip():
    transform = ImageTransform(16, (0.0,) * 3, (1.0,) * 3, augment="light")
    ramp = Image.fromarray(np.tile(np.arange(64, dtype=np.uint8)[None, :, None], (64, 1, 3)))
    flips = sum(bool((p := transform(ramp, seed))[0, 0, 0] > p[0, 0, -1]) for seed in range(200))
    assert 70 <= flips <= 130


@pytest.mark.parametrize(("augment", "seed"), [("light", 4), ("light", None), ("strong", 4), ("none", 4)])
def test_the_global_random_state_is_left_alone(augment, seed):
    torch.manual_seed(0)
    before = torch.get_rng_state()
    ImageTransform(16, (0.5,) * 3, (0.5,) * 3, augment=augment)(colours(), seed)
    assert torch.equal(before, torch.get_rng_state())


def test_without_augmentation_the_seed_does_nothing():
    transform = ImageTransform(16, (0.5,) * 3, (0.5,) * 3)
    assert torch.equal(transform(colours(), 4), transform(colours()))


def test_arrays_survive_unchanged():
    pixels = np.asarray(colours())
    assert np.array_equal(np.asarray(images.decode(images.from_array(pixels))), pixels)
    grey = pixels[:, :, 0]
    assert np.array_equal(np.asarray(images.decode(images.from_array(grey)))[:, :, 1], grey)


@pytest.mark.parametrize("pixels", [np.zeros((4, 4, 3)), np.zeros((3, 4, 4), np.uint8), np.zeros((0, 4, 3), np.uint8)])
def test_other_arrays_are_refused(pixels):
    with pytest.raises(ValueError, match="must be uint8"):
        images.from_array(pixels)


def test_small_pictures_are_kept_as_they_are():
    data = images.from_array(np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8))
    assert torch.equal(images.shrunk(data, 20), images.shrunk(data, 500))
    assert np.array_equal(images.shrunk(data, 500).numpy(), np.asarray(images.decode(data)))
