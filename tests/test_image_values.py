"""Each mode that an image can have is converted by its own range, or refused with the reason."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from data_prep.decoding.images import read_image
from data_prep.errors import DecodeError

RAMP = np.tile(np.linspace(0, 1, 32), (32, 1))
ANY = (".png", ".tif", ".webp", ".bmp", ".jpg", ".avif", ".gif")


def grey(path: Path) -> np.ndarray:
    return read_image(path, None).astype(int).mean(2)


@pytest.mark.parametrize("suffix", ANY)
@pytest.mark.parametrize(
    "mode", ["1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "CMYK", "YCbCr", "LAB",
             "HSV", "I", "I;16", "I;16B", "F"],
)  # fmt: skip
def test_every_mode_of_pillow_is_true_or_refused(mode: str, suffix: str, tmp_path: Path) -> None:
    if mode[0] in "IF" and suffix not in (".png", ".tif"):
        pytest.skip(f"Pillow changes the values of {mode} when it writes {suffix}")
    eight = Image.fromarray((RAMP * 255 + 0.5).astype(np.uint8))
    try:
        if mode == "F":
            image = Image.fromarray(RAMP.astype(np.float32))
        elif mode == "I":
            image = Image.fromarray((RAMP * 65535).astype(np.int32))
        elif mode.startswith("I;16"):
            values = (RAMP * 65535).astype(">u2" if mode.endswith("B") else "<u2")
            image = Image.frombytes(mode, (32, 32), values.tobytes())
        elif mode in ("La", "RGBa"):
            image = eight.convert(mode[:-1] + "A").convert(mode)
        elif mode in ("P", "PA"):
            image = eight.convert("P").convert(mode)
        else:
            image = eight.convert("RGB").convert(mode)
        image.save(tmp_path / f"a{suffix}")
    except (OSError, ValueError, KeyError):
        pytest.skip(f"Pillow writes no {mode} as {suffix}")
    if mode == "I" and suffix == ".tif":
        with pytest.raises(DecodeError, match="range is not known"):
            read_image(tmp_path / f"a{suffix}", None)
        return
    found = grey(tmp_path / f"a{suffix}")
    if mode == "1":  # dithered
        assert set(np.unique(found)) <= {0, 255} or suffix in (".jpg", ".avif", ".webp")
        assert found[:, 24:].mean() > 150 > 100 > found[:, :8].mean()
    else:
        assert np.abs(found - RAMP * 255).mean() < 5


def scaled(kind: str, ramp: np.ndarray) -> np.ndarray:
    """Values in [0, 1] in the full range of a type of numbers."""
    if kind == "?":
        return ramp > 0.5
    if kind[0] == "f":
        return ramp.astype(kind)
    limits = np.iinfo(kind)
    return (ramp * 0.999 * (float(limits.max) - limits.min) + limits.min).astype(kind)


@pytest.mark.parametrize("photometric", ["minisblack", "miniswhite", "rgb"])
@pytest.mark.parametrize(
    "kind", ["u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f2", "f4", "f8", "?"]
)
def test_every_type_of_tiff_is_true_or_refused(kind: str, photometric: str, tmp_path: Path) -> None:
    values = scaled(kind, 1 - RAMP if photometric == "miniswhite" else RAMP)
    if photometric == "rgb":
        values = np.repeat(values[:, :, None], 3, 2)
    tifffile.imwrite(tmp_path / "a.tif", values, photometric=photometric)
    readable = {"u1", "u2"} if photometric == "rgb" else {"u1", "u2", "f4", "?"}
    if kind not in readable:
        with pytest.raises(DecodeError, match=r"range is not known|no readable image"):
            read_image(tmp_path / "a.tif", None)
        return
    expected = scaled(kind, RAMP) * 255.0 if kind == "?" else RAMP * 255
    assert np.abs(grey(tmp_path / "a.tif") - expected).mean() < 2


@pytest.mark.parametrize(("bits", "colours"), [(10, 1), (12, 1), (14, 1), (12, 3)])
@pytest.mark.parametrize("suffix", [".tif", ".png"])
def test_fewer_bits_in_sixteen_are_never_read_as_nearly_black(
    bits: int, colours: int, suffix: str, tmp_path: Path
) -> None:
    values = (RAMP * (2**bits - 1)).astype(np.uint16)
    if colours == 3:
        if suffix == ".png":
            pytest.skip("Pillow writes no colours of 16 bits")
        values = np.repeat(values[:, :, None], 3, 2)
        tifffile.imwrite(tmp_path / "a.tif", values, photometric="rgb")
    else:
        Image.fromarray(values).save(tmp_path / f"a{suffix}")
    with pytest.raises(DecodeError, match="16 bits with values below a quarter"):
        read_image(tmp_path / f"a{suffix}", None)


@pytest.mark.parametrize("values", [[0.0, 255.0], [-1.0, 1.0], [0.0, np.nan], [0.0, np.inf]])
def test_floats_outside_their_range_are_refused(values: list[float], tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.full((8, 2), values, np.float32))
    with pytest.raises(DecodeError, match=r"floating-point values from .* the range from 0 to 1"):
        read_image(tmp_path / "a.tif", None)


@pytest.mark.parametrize("suffix", [".tif", ".png", ".webp", ".gif"])
def test_further_pages_do_not_vanish(suffix: str, tmp_path: Path) -> None:
    pages = [Image.fromarray(np.full((16, 16), 60 * k, np.uint8)) for k in range(3)]
    pages[0].save(tmp_path / f"a{suffix}", save_all=True, append_images=pages[1:])
    with pytest.raises(DecodeError, match="3 pages or frames in one file"):
        read_image(tmp_path / f"a{suffix}", None)


@pytest.mark.parametrize("mode", ["LA", "RGBA", "P"])
@pytest.mark.parametrize("colour", [0, 255])
def test_a_drawing_in_its_transparency_is_seen_or_refused(
    mode: str, colour: int, tmp_path: Path
) -> None:
    alpha = np.zeros((32, 32), np.uint8)
    alpha[10:14] = 255
    picture = Image.fromarray(np.full((32, 32), colour, np.uint8)).convert("RGBA")
    picture.putalpha(Image.fromarray(alpha))
    if mode == "P":
        indices = Image.fromarray((alpha > 0).astype(np.uint8)).convert("P")
        indices.putpalette([colour] * 6)
        indices.save(tmp_path / "a.png", transparency=0)
    else:
        picture.convert(mode).save(tmp_path / "a.png")
    if colour == 255:
        with pytest.raises(DecodeError, match="vanishes on white"):
            read_image(tmp_path / "a.png", None)
        return
    assert np.array_equal(grey(tmp_path / "a.png"), 255 - alpha)


def test_real_cases_are_true_or_refused(real_data: Path) -> None:
    folder = real_data / "cases" / "images"
    assert np.unique(grey(folder / "float01.tif")).tolist() == [128]
    assert grey(folder / "line_art_alpha.png").std() > 1
    with pytest.raises(DecodeError, match="signed integers"):
        read_image(folder / "int16_neg.tif", None)
