#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Kinds of picture files that make_data.py and make_pictures.py lack, and Pillow's results: python make_picture_kinds.py [FOLDER]

Needs Pillow 13.0 and numpy. Every form of BMP and GIF; WebP, lossy, lossless, with alpha, animated; files with an orientation, in EXIF
and XMP, correct and damaged, as JPEG, PNG and WebP.

kinds.safetensors
  <name>         u8 (bytes), the file
  <name>.pixels  u8 (h,w,3), Image.open(file).convert("RGB"), for the rows bmp, gif and webp
kinds.json       rows: row of the parity page -> names; upright: the results of ImageOps.exif_transpose for each file of the row upright:
                 its width, height and the FNV-1a-64 of its pixels in hexadecimal; cuts: for some files, how many of their bytes Pillow
                 needs
"""
import io
import json
import struct
import sys
import zlib
from pathlib import Path

import numpy as np
import PIL
from PIL import Image, ImageOps

from oracle_file import fnv1a64, units, write_safetensors


def scene(name, w, h):
    """Slopes, an edge and some noise."""
    y, x = np.mgrid[0:h, 0:w].astype(np.float64)
    rgb = np.stack([255 * x / max(w - 1, 1), 255 * y / max(h - 1, 1), 127 + 120 * np.sin(x * 0.11 + y * 0.07)], axis=-1)
    rgb[h // 3 : h // 2, w // 4 : w // 2] = (250, 10, 30)
    rgb += 9 * (2 * units(name, rgb.size).reshape(rgb.shape) - 1)
    return Image.fromarray(np.clip(rgb, 0, 255).astype(np.uint8))


def integers(name, below, shape):
    return (units(name, int(np.prod(shape))) * below).astype(np.int64).reshape(shape)


def saved(image, kind, **options):
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


# --- BMP, written here: Pillow writes few of its forms

def bmp(w, h, bits, data, palette=b"", colors=0, header=40, compression=0, masks=(), top_down=False, offset=None, gap=b""):
    """A file. The masks are in the header from version 2 (52 bytes) on, after it before that."""
    if header == 12:
        fields = struct.pack("<IHHHH", 12, w, h, 1, bits)
    else:
        fields = struct.pack("<IiiHHIIiiII", header, w, -h if top_down else h, 1, bits, compression, len(data), 2835, 2835, colors, 0)
        mask_bytes = struct.pack(f"<{len(masks)}I", *masks)
        fields = (fields + mask_bytes).ljust(max(header, 40 + len(mask_bytes)), b"\0")
    body = fields + palette + gap
    return b"BM" + struct.pack("<IHHI", 14 + len(body) + len(data), 0, 0, 14 + len(body) if offset is None else offset) + body + data


def rows_of(values, bits, top_down=False):
    """(h,w) integers as rows of this many bits, each padded to four bytes."""
    out = b""
    for row in values if top_down else values[::-1]:
        if bits < 8:
            raw = np.packbits(np.unpackbits(row.astype(np.uint8)[:, None], axis=1)[:, 8 - bits :].reshape(-1)).tobytes()
        else:
            raw = row.astype("<u4").view(np.uint8).reshape(-1, 4)[:, : bits // 8].tobytes()
        out += raw.ljust(-(-len(raw) // 4) * 4, b"\0")
    return out


def palette_of(name, n, pad=4):
    return np.pad(integers(name, 256, (n, 3)), ((0, 0), (0, pad - 3))).astype(np.uint8).tobytes()


# 9x5 pixels in runs: repeated and literal pixels, rows that end early, skipped pixels.
RUNS_8 = bytes([5, 7, 4, 200, 0, 0, 0, 5, 1, 2, 3, 4, 5, 0, 4, 9, 0, 0, 2, 3, 0, 2, 2, 0, 0, 4, 9, 8, 7, 6, 0, 0, 0, 2, 0, 1, 9, 77, 0, 1])
RUNS_4 = bytes([5, 0x17, 4, 0xA0, 0, 0, 0, 5, 0x12, 0x34, 0x50, 0, 4, 0x99, 0, 0, 0, 2, 1, 1, 8, 0x42, 0, 0, 3, 0xF0, 6, 0x61, 0, 1])
MASKS_32 = [(0xFF0000, 0xFF00, 0xFF, 0), (0xFF000000, 0xFF0000, 0xFF00, 0), (0xFF000000, 0xFF00, 0xFF, 0), (0xFF000000, 0xFF0000, 0xFF00, 0xFF),
            (0xFF, 0xFF00, 0xFF0000, 0xFF000000), (0xFF0000, 0xFF00, 0xFF, 0xFF000000), (0xFF000000, 0xFF00, 0xFF, 0xFF0000), (0, 0, 0, 0)]


def make_bmps():
    files = {}
    for w, h in ((13, 6), (8, 3)):
        for bits in (1, 4, 8, 16, 24, 32):
            for top_down in (False, True):
                values = integers(f"bmp {w} {bits}", 1 << bits, (h, w))
                palette = palette_of(f"palette {bits}", 1 << bits) if bits <= 8 else b""
                way = "down" if top_down else "up"
                files[f"{bits}_{w}_{way}.bmp"] = bmp(w, h, bits, rows_of(values, bits, top_down), palette, top_down=top_down)
    few = integers("few", 3, (5, 9))
    files["8_few_colors.bmp"] = bmp(9, 5, 8, rows_of(few, 8), palette_of("few", 3), colors=3)
    files["8_beyond_palette.bmp"] = bmp(9, 5, 8, rows_of(integers("beyond", 9, (5, 9)), 8), palette_of("beyond", 3), colors=3)
    files["8_grey.bmp"] = bmp(9, 5, 8, rows_of(integers("grey", 256, (5, 9)), 8), b"".join(bytes([i, i, i, 0]) for i in range(256)))
    files["1_black_white.bmp"] = bmp(9, 5, 1, rows_of(integers("bw", 2, (5, 9)), 1), b"\0\0\0\0\xff\xff\xff\0")
    files["4_gap.bmp"] = bmp(9, 5, 4, rows_of(integers("gap", 16, (5, 9)), 4), palette_of("gap", 16), gap=b"gap" * 3)
    files["4_no_offset.bmp"] = bmp(9, 5, 4, rows_of(integers("gap", 16, (5, 9)), 4), palette_of("gap", 16), offset=0)
    files["4_offset_of_palette.bmp"] = bmp(9, 5, 4, rows_of(integers("gap", 16, (5, 9)), 4), palette_of("gap", 16), offset=54)
    values = integers("headers", 1 << 24, (4, 7))
    for header in (12, 52, 56, 64, 108, 124):
        files[f"24_header_{header}.bmp"] = bmp(7, 4, 24, rows_of(values, 24), header=header)
    for bits in (1, 4, 8):
        files[f"{bits}_os2.bmp"] = bmp(7, 4, bits, rows_of(values % (1 << bits), bits), palette_of("os2", 1 << bits, pad=3), header=12)
    for i, masks in enumerate(((0xF800, 0x7E0, 0x1F), (0x7C00, 0x3E0, 0x1F))):
        for header in (40, 56, 108):
            files[f"16_masks_{i}_{header}.bmp"] = bmp(7, 4, 16, rows_of(values % 65536, 16), header=header, compression=3, masks=masks)
    files["24_masks.bmp"] = bmp(7, 4, 24, rows_of(values, 24), compression=3, masks=(0xFF0000, 0xFF00, 0xFF))
    wide = integers("wide", 1 << 16, (4, 7)) << 16 | integers("wide 2", 1 << 16, (4, 7))
    for i, masks in enumerate(MASKS_32):
        files[f"32_masks_{i}.bmp"] = bmp(7, 4, 32, rows_of(wide, 32), header=124, compression=3, masks=masks)
    files["32_masks_behind.bmp"] = bmp(7, 4, 32, rows_of(wide, 32), compression=3, masks=MASKS_32[0][:3], top_down=True)
    for name, data, compression, bits in (("8", RUNS_8, 1, 8), ("4", RUNS_4, 2, 4)):
        for top_down in (False, True):
            files[f"{name}_runs_{top_down}.bmp"] = bmp(9, 5, bits, data, palette_of("runs", 1 << bits), compression=compression, top_down=top_down)
    files["8_runs_odd_offset.bmp"] = bmp(9, 5, 8, RUNS_8[:13] + RUNS_8[14:], palette_of("runs", 256), compression=1, gap=b"x")
    files["bare.bmp"] = files["24_13_up.bmp"][14:]
    return files


# --- GIF, written here too: Pillow writes no interlaced rows, no positions and no custom palettes

def packed(indices, bits):
    """LZW that never uses its table: a clear code comes before codes would grow."""
    clear, out, n = 1 << bits, 0, 0
    codes = [clear]
    for i, index in enumerate(indices):
        codes += [clear] * (i > 0 and i % (clear - 2) == 0) + [int(index)]
    for code in [*codes, clear + 1]:
        out |= code << n
        n += bits + 1
    raw = out.to_bytes((n + 7) // 8, "little")
    return bytes([bits]) + b"".join(bytes([len(raw[k : k + 255])]) + raw[k : k + 255] for k in range(0, len(raw), 255)) + b"\0"


def gif_image(indices, place=(0, 0), palette=b"", interlaced=False):
    h, w = indices.shape
    flags = (0x80 | len(palette).bit_length() - 3 if palette else 0) | (0x40 if interlaced else 0)  # of 3 * 2^bits bytes
    rows = [*range(0, h, 8), *range(4, h, 8), *range(2, h, 4), *range(1, h, 2)] if interlaced else range(h)
    return b"," + struct.pack("<HHHHB", *place, w, h, flags) + palette + packed(indices[list(rows)].reshape(-1), 8)


def gif(w, h, *parts, palette=b"", background=0):
    flags = 0x80 | len(palette).bit_length() - 3 if palette else 0
    return b"GIF89a" + struct.pack("<HHBBB", w, h, flags, background, 0) + palette + b"".join(parts) + b";"


def make_gifs():
    values, palette = integers("gif", 256, (11, 14)), palette_of("gif", 256, 3)
    low, few = values % 8, palette_of("gif few", 8, 3)
    transparent = b"!\xf9\x04\x01\0\0\x05\0"
    return {
        "plain.gif": gif(14, 11, gif_image(values), palette=palette),
        "interlaced.gif": gif(14, 11, gif_image(values, interlaced=True), palette=palette),
        "own_palette.gif": gif(14, 11, gif_image(values, palette=palette), palette=few),
        "beyond_palette.gif": gif(14, 11, gif_image(values), palette=few),
        "no_palette.gif": gif(14, 11, gif_image(values)),
        "grey_palette.gif": gif(14, 11, gif_image(values), palette=bytes(i for k in range(8) for i in (k, k, k))),
        "transparent.gif": gif(14, 11, transparent, gif_image(low), palette=few, background=3),
        "smaller.gif": gif(20, 17, gif_image(low, place=(3, 2)), palette=few, background=3),
        "smaller_transparent.gif": gif(20, 17, transparent, gif_image(low, place=(3, 2)), palette=few, background=3),
        "larger_than_screen.gif": gif(4, 3, gif_image(values, place=(1, 5)), palette=palette),
        "commented.gif": gif(14, 11, b"!\xfe\x05hello\0", b"!\xff\x0bNETSCAPE2.0\x03\x01\0\0\0", gif_image(values), palette=palette),
        "two.gif": gif(14, 11, gif_image(values), gif_image(values[::-1]), palette=palette),
        "learned.gif": saved(scene("gif", 61, 47).quantize(64), "gif"),
        "learned_grey.gif": saved(scene("gif", 61, 47).convert("L"), "gif"),
    }


# --- WebP

def riff_chunk(kind, body):
    return kind + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)


def riff(*chunks):
    body = b"WEBP" + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def u24(value):
    return struct.pack("<I", value)[:3]


def vp8x(flags, w, h):
    return riff_chunk(b"VP8X", bytes([flags, 0, 0, 0]) + u24(w - 1) + u24(h - 1))


def frame(x, y, w, h, file):
    return riff_chunk(b"ANMF", u24(x // 2) + u24(y // 2) + u24(w - 1) + u24(h - 1) + u24(100) + b"\0" + file[12:])


def make_webps():
    photo, odd = scene("webp", 61, 47), scene("webp odd", 17, 33)
    clear = odd.copy()
    clear.putalpha(Image.fromarray((255 * units("alpha", 17 * 33)).astype(np.uint8).reshape(33, 17)))
    first, second = scene("first", 20, 14), scene("second", 30, 18)
    animated = io.BytesIO()
    odd.save(animated, "webp", save_all=True, append_images=[odd.transpose(Image.Transpose.ROTATE_180)], quality=60)
    lossless, lossy = saved(first, "webp", lossless=True), saved(second, "webp", quality=70)
    head = riff_chunk(b"ANIM", b"\x10\x20\x30\xff\0\0")
    return {
        "lossy.webp": saved(photo, "webp", quality=75),
        "coarse.webp": saved(photo, "webp", quality=3),
        "fine.webp": saved(odd, "webp", quality=100),
        "lossless.webp": saved(odd, "webp", lossless=True),
        "alpha.webp": saved(clear, "webp", quality=70),
        "alpha_lossless.webp": saved(clear, "webp", lossless=True, exact=True),
        "flat.webp": saved(Image.new("RGB", (60, 40), (7, 70, 200)), "webp", lossless=True),
        "pixel.webp": saved(scene("pixel", 1, 1), "webp", quality=80),
        "animated.webp": animated.getvalue(),
        "small_first.webp": riff(vp8x(2, 64, 48), head, frame(10, 8, 20, 14, lossless), frame(0, 0, 30, 18, lossy)),
        "small_first_lossy.webp": riff(vp8x(2, 64, 48), head, frame(34, 30, 30, 18, lossy), frame(0, 0, 20, 14, lossless)),
        "extended.webp": riff(vp8x(0, 20, 14), lossless[12:]),
        "trailing.webp": lossy + b"left over" * 5,
    }


# --- files with an orientation

BASE = scene("turned", 11, 7)
JPEG, PNG, WEBP = saved(BASE, "jpeg", quality=80), saved(BASE, "png"), saved(BASE, "webp", lossless=True)
EXIF, XMP = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0"


def jpeg_with(*segments):
    return JPEG[:2] + b"".join(b"\xff\xe1" + struct.pack(">H", len(s) + 2) + s for s in segments) + JPEG[2:]


def png_with(kind, body, behind=False):
    at = PNG.index(b"IEND" if behind else b"IDAT") - 4
    return PNG[:at] + struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) + PNG[at:]


def webp_with(exif=None, xmp=None, flags=None):
    known = (8 if exif else 0) | (4 if xmp else 0) if flags is None else flags
    notes = (riff_chunk(b"EXIF", exif) if exif else b"") + (riff_chunk(b"XMP ", xmp) if xmp else b"")
    return riff(vp8x(known, 11, 7), WEBP[12:], notes)


def tiff(orientation, end=">", kind=3, count=1, before=(), entries=None):
    """An EXIF block with its orientation as a short or another type, after other entries: [(tag, type, count, bytes)]."""
    letter = {2: "B", 3: "H", 4: "I", 5: "II", 6: "b", 8: "h", 9: "i", 11: "f", 12: "d"}.get(kind, "H")
    value = struct.pack(end + letter, *([orientation] if kind != 5 else [orientation * 3, 3])) * count
    all_entries = [*before, (0x112, kind, count, value)]
    listed, values = b"", b""
    for tag, of, n, raw in all_entries:
        place = raw.ljust(4, b"\0") if len(raw) <= 4 else struct.pack(end + "I", 8 + 2 + 12 * len(all_entries) + 4 + len(values))
        values += raw if len(raw) > 4 else b""
        listed += struct.pack(end + "HHI", tag, of, n) + place
    mark = b"MM\0*" if end == ">" else b"II*\0"
    return mark + struct.pack(end + "IH", 8, len(all_entries) if entries is None else entries) + listed + b"\0\0\0\0" + values


def xmp_text(orientation, as_attribute=True):
    inside = f'tiff:Orientation="{orientation}"/>' if as_attribute else f"><tiff:Orientation>{orientation}</tiff:Orientation>"
    return f"<x:xmpmeta><rdf:Description {inside}".encode()


def make_upright():
    files = {}
    for k in range(1, 9):
        for end, order in ((">", "big"), ("<", "little")):
            files[f"{k}_{order}.jpg"] = jpeg_with(EXIF + tiff(k, end))
        files[f"{k}.png"] = png_with(b"eXIf", tiff(k, "<"))
        files[f"{k}.webp"] = webp_with(tiff(k))
    files["0.jpg"], files["9.jpg"] = jpeg_with(EXIF + tiff(0)), jpeg_with(EXIF + tiff(9))
    files["behind.png"], files["prefixed.webp"] = png_with(b"eXIf", tiff(5), behind=True), webp_with(EXIF + tiff(7))
    files["unflagged.webp"] = webp_with(tiff(6), flags=0)
    for kind in (2, 4, 5, 6, 8, 9, 11, 12, 13, 200):
        files[f"type_{kind}.jpg"] = jpeg_with(EXIF + tiff(6, kind=kind))
    make = (0x10F, 2, 20, b"a camera's long name")
    files["count_3.jpg"], files["count_0.jpg"] = jpeg_with(EXIF + tiff(6, count=3)), jpeg_with(EXIF + tiff(6, count=0))
    files["after_make.jpg"] = jpeg_with(EXIF + tiff(8, before=[make]))
    files["split.jpg"] = jpeg_with(EXIF + tiff(8, before=[make])[:20], EXIF + tiff(8, before=[make])[20:])
    files["twice.jpg"] = jpeg_with(EXIF + tiff(3, before=[(0x112, 3, 1, b"\0\6")]))
    files["many_entries.jpg"] = jpeg_with(EXIF + tiff(6, entries=65535))
    files["no_entries.jpg"] = jpeg_with(EXIF + tiff(6, entries=0))
    files["huge_value.jpg"] = jpeg_with(EXIF + tiff(6, before=[(0x10F, 2, 1 << 31, b"\0\0\0\x10")]))
    files["value_outside.jpg"] = jpeg_with(EXIF + tiff(6, before=[(0x10F, 2, 12, b"\1\1\1\1")]))
    for cut in (9, 10, 15, 21, 22, 26):
        files[f"cut_{cut}.jpg"] = jpeg_with(EXIF + tiff(6)[:cut])
    for as_attribute in (True, False):
        text, name = xmp_text(6, as_attribute), "attribute" if as_attribute else "element"
        files[f"xmp_{name}.jpg"], files[f"xmp_{name}.webp"] = jpeg_with(XMP + text), webp_with(xmp=text)
        files[f"xmp_{name}.png"] = png_with(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + text)
    files["xmp_packed.png"] = png_with(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(xmp_text(8)))
    files["xmp_and_exif.jpg"] = jpeg_with(XMP + xmp_text(6), EXIF + tiff(3))
    files["xmp_and_upright_exif.jpg"] = jpeg_with(XMP + xmp_text(6), EXIF + tiff(1))
    profile = b"\nexif\n%8d\n" % len(EXIF + tiff(6)) + (EXIF + tiff(6)).hex().encode() + b"\n"
    files["profile.png"] = png_with(b"tEXt", b"Raw profile type exif\0" + profile)
    files["profile_packed.png"] = png_with(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(profile))
    return files


def opened(file):
    with Image.open(io.BytesIO(file)) as image:
        image.load()
        return image


def turned(file):
    pixels = np.asarray(ImageOps.exif_transpose(opened(file)).convert("RGB"))
    return dict(width=pixels.shape[1], height=pixels.shape[0], pixels=f"{fnv1a64(pixels.tobytes()):016x}")


def needed_bytes(file):
    """How many of its first bytes Pillow needs; with fewer it fails."""
    def decodes(length):
        try:
            opened(file[:length]).convert("RGB")
            return True
        except Exception:
            return False
    good = [decodes(length) for length in range(len(file) + 1)]
    first = good.index(True)
    assert all(good[first:])
    return first


def main():
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent / "pictures")
    rows, tensors = {"bmp": make_bmps(), "gif": make_gifs(), "webp": make_webps(), "upright": make_upright()}, {}
    for row, files in rows.items():
        for name, file in files.items():
            tensors[name] = np.frombuffer(file, np.uint8)
            if row != "upright":
                tensors[name + ".pixels"] = np.asarray(opened(file).convert("RGB"))
    upright = {name: turned(file) for name, file in rows["upright"].items()}
    as_stored = {kind: turned(rows["upright"][f"1{kind}"])["pixels"] for kind in ("_big.jpg", ".png", ".webp")}
    assert len(set(as_stored.values())) == 2 and len({upright[f"{k}.png"]["pixels"] for k in range(1, 9)}) == 8
    cut = ["interlaced.gif", "learned.gif", "24_13_up.bmp", "8_13_down.bmp", "8_runs_True.bmp", "lossy.webp", "lossless.webp", "animated.webp", "alpha.webp", "3.webp"]
    cuts = {name: needed_bytes(bytes(tensors[name])) for name in cut}
    write_safetensors(folder / "kinds.safetensors", tensors, {"made_with": json.dumps({"PIL": PIL.__version__})})
    document = dict(made_with={"PIL": PIL.__version__}, rows={row: list(files) for row, files in rows.items()}, upright=upright, cuts=cuts)
    (folder / "kinds.json").write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
