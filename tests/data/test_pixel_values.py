"""Every kind of TIFF and PNG is read as the pixels it was written from, or refused: none is stored as something else.

The files are written here, bit by bit, so that the expected pixels come from no decoder. What is refused is listed by
its kind: a kind that is neither read to a rounding nor listed fails.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Sequence
from itertools import product

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from alexnet_lab.data.image import UnreadableImage, read_square

SIDE = 16
Samples = NDArray[np.int64]
GENERATOR = np.random.default_rng(0)


def packed(rows: Samples, bits: int, order: str = ">") -> list[bytes]:
    """Rows [n, values] of so many bits a value, each from a byte's highest bit on."""
    if bits in (16, 32):
        return [row.astype(f"{order}u{bits // 8}").tobytes() for row in rows]
    single = (rows[..., None] >> np.arange(bits - 1, -1, -1)) & 1
    return [np.packbits(row.astype(np.uint8)).tobytes() for row in single.reshape(len(rows), -1)]


def tiff(
    samples: Samples,
    bits: int,
    photometric: int,
    extra: Sequence[int] = (),
    colours: Sequence[int] = (),
    *,
    order: str = "<",
    planes: bool = False,
    reversed_bits: bool = False,
    compressed: bool = False,
    rows: int = SIDE,
    tags: dict[int, Sequence[int]] | None = None,
) -> bytes:
    """A TIFF of samples [H, W, channels] in strips of so many rows; `order` and the rest as in the standard."""
    height, width, channels = samples.shape
    strips = []
    for plane in [samples[:, :, [channel]] for channel in range(channels)] if planes else [samples]:
        lines = packed(plane.reshape(height, -1), bits, order)
        for first in range(0, height, rows):
            strip = b"".join(lines[first : first + rows])
            strip = zlib.compress(strip) if compressed else strip
            if reversed_bits:
                strip = np.packbits(np.unpackbits(np.frombuffer(strip, np.uint8)).reshape(-1, 8)[:, ::-1]).tobytes()
            strips.append(strip)
    entries: dict[int, Sequence[int]] = {256: [width], 257: [height], 258: [bits] * channels, 262: [photometric]}
    entries |= {259: [8 if compressed else 1], 266: [2 if reversed_bits else 1], 277: [channels], 278: [rows]}
    entries |= {284: [2 if planes else 1], 273: [0] * len(strips), 279: [len(strip) for strip in strips]}
    entries |= ({338: extra} if extra else {}) | ({320: colours} if len(colours) else {}) | (tags or {})
    behind = 8 + 2 + 12 * len(entries) + 4
    long = {273, 279}
    sizes = {tag: len(values) * (4 if tag in long else 2) for tag, values in entries.items()}
    place = behind + sum(size for size in sizes.values() if size > 4)
    entries[273] = [place + sum(map(len, strips[:number])) for number in range(len(strips))]
    directory, more = struct.pack(order + "H", len(entries)), b""
    for tag, values in sorted(entries.items()):
        content = struct.pack(order + ("I" if tag in long else "H") * len(values), *values)
        if len(content) > 4:
            content, more = struct.pack(order + "I", behind + len(more)), more + content
        directory += struct.pack(order + "HHI", tag, 4 if tag in long else 3, len(values)) + content.ljust(4, b"\0")
    start = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8)
    return start + directory + bytes(4) + more + b"".join(strips)


def png(samples: Samples, bits: int, colour_type: int, transparent: bytes = b"", palette: bytes = b"") -> bytes:
    """A PNG of samples [H, W, channels]."""
    height, width, _ = samples.shape
    lines = b"".join(b"\0" + line for line in packed(samples.reshape(height, -1), bits))
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, 0))]
    chunks += [(name, content) for name, content in ((b"PLTE", palette), (b"tRNS", transparent)) if content]
    chunks += [(b"IDAT", zlib.compress(lines)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        for name, content in chunks
    )


def eight_bits(values: Samples, bits: int) -> Samples:
    return values >> (bits - 8) if bits > 8 else values * 255 // ((1 << bits) - 1)


def over_white(colours: NDArray, opacity: NDArray) -> NDArray:
    return colours * opacity + 255 * (1 - opacity)


def is_read(file: bytes, expected: NDArray) -> bool:
    """Whether the file is read; what is read has to be as expected."""
    try:
        image = read_square(file, SIDE)
    except UnreadableImage:
        return False
    assert np.abs(image - expected).max() <= 1.01  # two roundings
    return True


# What is read of TIFFs, by photometric interpretation and what the channels beyond the colours are.
GREYS, READ = (
    (0, 1),
    {
        (0, ()): {1, 2, 4, 8, 16},
        (1, ()): {1, 2, 4, 8, 12, 16},
        (1, (0,)): {8},
        (1, (1,)): {8},
        (1, (2,)): {8},
        (2, ()): {8, 16},
        (2, (0,)): {8, 16},
        (2, (1,)): {8, 16},
        (2, (2,)): {8, 16},
        (2, (0, 0)): {8},
        (3, ()): {1, 2, 4, 8},
        (3, (0,)): {8},
        (3, (2,)): {8},
        (5, ()): {8, 16},
        (5, (0,)): {8},
        (5, (0, 0)): {8},
        (6, ()): {8},
    },
)


@pytest.mark.parametrize("photometric", [0, 1, 2, 3, 5, 6])
@pytest.mark.parametrize("bits", [1, 2, 4, 8, 12, 16, 32])
def test_tiffs_are_read_as_they_are_or_refused(photometric: int, bits: int) -> None:
    """Of each kind either byte order, planes, order of bits, compression and number of strips."""
    channels, top = {2: 3, 5: 4, 6: 3}.get(photometric, 1), (1 << bits) - 1
    colours = GENERATOR.integers(0, 65536, 3 << bits).tolist() if photometric == 3 and bits <= 8 else []
    for extra in ((), (0,), (1,), (2,), (0, 0)):
        samples = GENERATOR.integers(0, 1 << bits, (SIDE, SIDE, channels + len(extra)))
        if extra == (1,):  # colours that are multiplied with the opacity
            samples = np.minimum(samples, samples[:, :, -1:])
        shades = eight_bits(top - samples if photometric == 0 else samples, bits)
        expected = shades[:, :, :3].astype(float)
        if photometric in GREYS:
            expected = expected[:, :, :1].repeat(3, axis=2)
        elif photometric == 3 and colours:
            expected = np.array(colours).reshape(3, -1).T[samples[:, :, 0]] // 256.0
        elif photometric == 5:
            expected = (255 - shades[:, :, :3]) * (255 - shades[:, :, 3:4]) / 255
        elif photometric == 6:
            grey, blue, red = np.moveaxis(shades[:, :, :3] - np.array([0, 128, 128]), 2, 0)
            rgb = grey + 1.402 * red, grey - 0.344136 * blue - 0.714136 * red, grey + 1.772 * blue
            expected = np.stack(rgb, axis=2).clip(0, 255)
        if extra in ((1,), (2,)):
            opacity = shades[:, :, -1:] / 255
            expected = over_white(expected / np.maximum(opacity, 1e-9) if extra == (1,) else expected, opacity)
        found = set()
        for order, planes, reversed_bits, compressed, rows in product("<>", *[(False, True)] * 3, (SIDE, 5)):
            options = {"order": order, "planes": planes, "reversed_bits": reversed_bits, "compressed": compressed}
            tags = {530: (1, 1)} if photometric == 6 else {}
            file = tiff(samples, bits, photometric, extra, colours, rows=rows, tags=tags, **options)
            if is_read(file, expected) and order == "<" and not (planes or reversed_bits):
                found.add(compressed)
        assert found == ({False, True} if bits in READ.get((photometric, extra), ()) else set()), extra


@pytest.mark.parametrize("compressed", [False, True])
def test_a_ycbcr_tiff_has_its_colours_at_half_the_resolution(compressed: bool) -> None:
    grey = GENERATOR.integers(0, 256, (8, 2, 8, 2))  # of blocks of 2 x 2 pixels, whose colour follows them
    blue, red = GENERATOR.integers(100, 150, (2, 8, 8, 1, 1))
    blocks = np.concatenate([grey.transpose(0, 2, 1, 3).reshape(8, 8, 4), blue[..., 0], red[..., 0]], axis=2)
    file = tiff(blocks.reshape(SIDE, -1, 1), 8, 6, compressed=compressed)
    for tag, count, wrong, right in ((256, 1, 24, SIDE), (277, 1, 1, 3)):
        entry = struct.pack("<HHIHH", tag, 3, count, wrong, 0)
        assert file.count(entry) == 1
        file = file.replace(entry, struct.pack("<HHIHH", tag, 3, count, right, 0))
    y = grey.reshape(SIDE, SIDE).astype(float)
    b, r = (colour.reshape(8, 8).repeat(2, 0).repeat(2, 1) - 128.0 for colour in (blue, red))
    expected = np.stack([y + 1.402 * r, y - 0.344136 * b - 0.714136 * r, y + 1.772 * b], axis=2).clip(0, 255)
    assert is_read(file, expected)


@pytest.mark.parametrize(("bits", "form"), [(8, 2), (16, 2), (32, 1), (32, 2), (32, 3)])
@pytest.mark.parametrize("order", "<>")
def test_pixels_whose_range_is_unknown_are_refused(bits: int, form: int, order: str) -> None:
    """With a sign, of 32 bits, in floating point; whether they would fit into 16 bits or not."""
    samples = GENERATOR.integers(0, 128, (SIDE, SIDE, 1))
    with pytest.raises(UnreadableImage):
        read_square(tiff(samples, bits, 1, order=order, tags={339: (form,)}), SIDE)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_turned_16_bit_tiffs_keep_their_white(orientation: int) -> None:
    samples = GENERATOR.integers(0, 65536, (SIDE, SIDE, 1))
    stored = (65535 - samples[:, :, 0]) >> 8
    turn = [
        lambda x: x,
        np.fliplr,
        lambda x: np.rot90(x, 2),
        np.flipud,
        np.transpose,
        lambda x: np.rot90(x, -1),
        lambda x: np.rot90(x, 2).T,
        np.rot90,
    ][orientation - 1]
    file = tiff(samples, 16, 0, tags={274: (orientation,)})
    assert is_read(file, turn(stored)[..., None].repeat(3, axis=2))


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
def test_a_transparent_grey_of_a_png_is_white(bits: int) -> None:
    """That grey and no other: with 16 bits not its neighbour, which has the same upper 8 bits."""
    samples = GENERATOR.integers(0, 1 << bits, (SIDE, SIDE, 1))
    transparent = (1 << bits) - 1
    samples[::3] = transparent
    samples[1::3] = transparent ^ 1
    expected = eight_bits(samples, bits)
    expected[samples == transparent] = 255
    assert is_read(png(samples, bits, 0, struct.pack(">H", transparent)), expected.repeat(3, axis=2))
    assert is_read(png(samples, bits, 0), eight_bits(samples, bits).repeat(3, axis=2))


def test_a_transparent_colour_of_a_png_is_white_or_the_png_is_refused() -> None:
    samples = GENERATOR.integers(0, 256, (SIDE, SIDE, 3))
    samples[::2] = samples[0, 0]
    expected = samples.copy()
    expected[(samples == samples[0, 0]).all(axis=2)] = 255
    named = struct.pack(">3H", *samples[0, 0])
    assert is_read(png(samples, 8, 2, named), expected)
    assert is_read(png(256 * samples + 255, 16, 2), samples)  # the upper 8 bits
    with pytest.raises(UnreadableImage, match="16-bit colours of which one is transparent"):
        read_square(png(samples, 16, 2, named), SIDE)


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
@pytest.mark.parametrize("kind", ["none", "first", "last", "each its own"])
def test_transparent_places_of_a_palette(bits: int, kind: str) -> None:
    number = 1 << bits
    palette, samples = GENERATOR.integers(0, 256, (number, 3)), GENERATOR.integers(0, number, (SIDE, SIDE, 1))
    last, own = [255] * (number - 1) + [0], GENERATOR.integers(0, 256, number).tolist()
    opacities = {"none": [], "first": [0], "last": last, "each its own": own}[kind]
    opacity = np.array(opacities + [255] * (number - len(opacities)))[samples] / 255
    file = png(samples, bits, 3, bytes(opacities), palette.astype(np.uint8).tobytes())
    assert is_read(file, over_white(palette[samples[:, :, 0]], opacity))


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("channels", [2, 4])
def test_opacity_of_a_png_for_each_pixel(bits: int, channels: int) -> None:
    samples = GENERATOR.integers(0, 1 << bits, (SIDE, SIDE, channels))
    shades = eight_bits(samples, bits)
    expected = over_white(shades[:, :, :-1], shades[:, :, -1:] / 255)
    assert is_read(png(samples, bits, {2: 4, 4: 6}[channels]), expected.repeat(3 if channels == 2 else 1, axis=2))


@pytest.mark.parametrize("bits", [1, 4, 8])
@pytest.mark.parametrize("colours", ["black and white", "white and black", "others"])
def test_a_bmp_of_two_colours_is_read_as_it_is_or_refused(bits: int, colours: str) -> None:
    samples = GENERATOR.integers(0, 2, (SIDE, SIDE, 1))
    palette = {"black and white": [[0] * 3, [255] * 3], "white and black": [[255] * 3, [0] * 3]}.get(
        colours, [[1, 2, 3], [200, 100, 50]]
    )
    lines = [line.ljust(-len(line) // 4 * -4, b"\0") for line in packed(samples[::-1].reshape(SIDE, -1), bits)]
    header = struct.pack("<IiiHHIIiiII", 40, SIDE, SIDE, 1, bits, 0, 0, 0, 0, 2, 0)
    table = b"".join(bytes([*colour[::-1], 0]) for colour in palette)
    file = b"BM" + struct.pack("<IHHI", 0, 0, 0, 14 + 40 + len(table)) + header + table + b"".join(lines)
    assert is_read(file, np.array(palette)[samples[:, :, 0]]) == (colours != "black and white" or bits == 1)


@pytest.mark.parametrize(("bits_of_opacity", "transparent"), [(8, True), (0, False)])
def test_a_tga_s_fourth_channel_is_its_opacity_where_it_says_so(bits_of_opacity: int, transparent: bool) -> None:
    samples = GENERATOR.integers(0, 256, (SIDE, SIDE, 4))
    header = struct.pack("<BBBHHBHHHHBB", 0, 0, 2, 0, 0, 0, 0, 0, SIDE, SIDE, 32, 0x20 | bits_of_opacity)
    file = header + samples[:, :, [2, 1, 0, 3]].astype(np.uint8).tobytes()
    colours, opacity = samples[:, :, :3], samples[:, :, 3:] / 255
    assert is_read(file, over_white(colours, opacity) if transparent else colours)


@pytest.mark.parametrize(("channels", "kind"), [(1, np.uint8), (1, np.uint16), (3, np.uint8), (3, np.uint16)])
def test_a_white_jpeg_2000_is_white_or_refused(channels: int, kind: type) -> None:
    """Written by OpenCV: Pillow writes no colours of 16 bits."""
    white = np.full((64, 64, channels), np.iinfo(kind).max, dtype=kind)
    whole, file = cv2.imencode(".jp2", white, [cv2.IMWRITE_JPEG2000_COMPRESSION_X1000, 1000])
    assert whole
    assert is_read(file.tobytes(), np.full((SIDE, SIDE, 3), 255)) == (channels == 1 or kind is np.uint8)


def test_where_the_first_frame_of_a_gif_covers_nothing_is_white() -> None:
    stream = io.BytesIO()
    small = Image.new("P", (8, 8), 1)
    small.putpalette([10, 20, 30, 200, 30, 40])
    small.save(stream, "gif")
    file = bytearray(stream.getvalue())
    file[6:10] = struct.pack("<HH", SIDE, SIDE)  # of the whole, of which the frame then is one corner
    expected = np.full((SIDE, SIDE, 3), 255)
    expected[:8, :8] = 200, 30, 40
    assert is_read(bytes(file), expected)


def test_a_cmyk_jpeg_is_inverted_whether_it_names_adobe_or_not() -> None:
    stream = io.BytesIO()
    Image.new("CMYK", (SIDE, SIDE), (10, 200, 120, 30)).save(stream, "jpeg", quality=100)
    file = stream.getvalue()
    place = file.index(b"\xff\xee")
    without = file[:place] + file[place + 2 + int.from_bytes(file[place + 2 : place + 4], "big") :]
    assert b"Adobe" in file
    assert b"Adobe" not in without
    expected = np.array([(255 - ink) * (255 - 30) / 255 for ink in (10, 200, 120)])
    for content in (file, without):
        assert np.abs(read_square(content, SIDE) - expected).max() <= 2
