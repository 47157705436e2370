#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Small picture files and the results of Pillow, PyTorch and fastai for them, for tests/data.

    make_data.py OUT_FOLDER        needs numpy, pillow, torch, fastai; the files here: Pillow 13.0, PyTorch 2.11, fastai 2.8.12

decode.json   per file: the pixels of Image.open(file).convert('RGB'), as a PPM
cuts.json     per JPEG: at which lengths Pillow still decodes the file
resize.json   crop + BILINEAR resize, and fastai's Resize(size) at given draws
randperm.json torch.randperm on the CPU: the first ten and a checksum
"""
import io
import json
import random
import struct
import sys
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

OUT = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent / "data")
OUT.mkdir(parents=True, exist_ok=True)
RNG = np.random.default_rng(7)


def scene(w, h):
    """Slopes, an edge and noise: every kind of rounding."""
    y, x = np.mgrid[0:h, 0:w].astype(np.float64)
    rgb = np.stack([255 * x / max(w - 1, 1), 255 * y / max(h - 1, 1), 127 + 120 * np.sin(x * 0.7 + y * 0.4)], axis=-1)
    rgb[h // 3 : h // 2, w // 4 : w // 2] = (250, 10, 30)
    rgb += RNG.normal(0, 12, rgb.shape)
    return np.clip(rgb, 0, 255).astype(np.uint8)


def ppm(array):
    h, w, _ = array.shape
    return b'P6\n%d %d\n255\n' % (w, h) + np.ascontiguousarray(array).tobytes()


def jpeg(image, **options):
    out = io.BytesIO()
    image.save(out, 'jpeg', **options)
    return out.getvalue()


def saved(image, kind, **options):
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def chunk(kind, body):
    return struct.pack('>I', len(body)) + kind + body + struct.pack('>I', zlib.crc32(kind + body))


def png(samples, depth, colour, interlaced=False, extra=b''):
    """(h, w, channels) of integers, as a PNG of that depth: Pillow writes neither 16-bit colour nor interlaced files."""
    h, w, _ = samples.shape
    passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)] if interlaced else [(0, 0, 1, 1)]
    raw = b''
    for x0, y0, dx, dy in passes:
        part = samples[y0::dy, x0::dx]
        if part.size == 0:
            continue
        for row in part:
            flat = row.reshape(-1)
            if depth == 16:
                raw += b'\0' + flat.astype('>u2').tobytes()
            else:
                bits = np.unpackbits(flat.astype(np.uint8)[:, None], axis=1)[:, 8 - depth :].reshape(-1)
                raw += b'\0' + np.packbits(bits).tobytes()
    header = struct.pack('>IIBBBBB', w, h, depth, colour, 0, 0, int(interlaced))
    return b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', header) + extra + chunk(b'IDAT', zlib.compress(raw)) + chunk(b'IEND', b'')


def psd(array):
    h, w, _ = array.shape
    head = b'8BPS' + struct.pack('>H6xHIIHH', 1, 3, h, w, 8, 3) + struct.pack('>III', 0, 0, 0) + struct.pack('>H', 0)
    return head + array.transpose(2, 0, 1).tobytes()


def jpegs():
    base = Image.fromarray(scene(37, 29))
    exif = Image.Exif()
    exif[0x0112] = 6
    cmyk = jpeg(Image.fromarray(np.dstack([scene(33, 21), scene(33, 21)[..., :1]]), 'CMYK'), quality=90)
    adobe = cmyk.index(b'Adobe')
    assert cmyk[adobe + 11] == 0
    return {
        '420.jpg': jpeg(base, quality=75),
        '422.jpg': jpeg(base, quality=85, subsampling=1),
        '444.jpg': jpeg(base, quality=95, subsampling=0),
        '411.jpg': jpeg(base, quality=80, subsampling='4:1:1'),
        'coarse.jpg': jpeg(base, quality=5),
        'progressive.jpg': jpeg(Image.fromarray(scene(50, 41)), quality=70, progressive=True),
        'restart.jpg': jpeg(base, quality=75, restart_marker_blocks=2),
        'exif.jpg': jpeg(base, quality=75, exif=exif),
        'rgb.jpg': jpeg(base, quality=80, keep_rgb=True),
        'grey.jpg': jpeg(base.convert('L'), quality=75),
        'cmyk.jpg': cmyk,
        'ycck.jpg': cmyk[: adobe + 11] + b'\x02' + cmyk[adobe + 12 :],
        'pixel.jpg': jpeg(Image.fromarray(scene(1, 1))),
        'column.jpg': jpeg(Image.fromarray(scene(1, 19))),
        'trailing.jpg': jpeg(base, quality=60) + b'left over' * 20,
    }


def others():
    rgb = scene(23, 17)
    base = Image.fromarray(rgb)
    wide = (RNG.integers(0, 65536, (17, 23, 4))).astype(np.uint16)
    alpha = np.dstack([rgb, RNG.integers(0, 256, (17, 23, 1)).astype(np.uint8)])
    palette = base.quantize(200)
    few = base.quantize(13)
    low = (RNG.integers(0, 600, (17, 23, 1))).astype(np.uint16)
    return {
        'rgb.png': saved(base, 'png'),
        'rgba.png': saved(Image.fromarray(alpha), 'png'),
        'grey.png': saved(base.convert('L'), 'png'),
        'grey_alpha.png': saved(Image.fromarray(alpha).convert('LA'), 'png'),
        'palette.png': saved(palette, 'png'),
        'palette_few.png': saved(few, 'png'),
        'palette_transparent.png': saved(palette, 'png', transparency=3),
        'rgb_transparent.png': saved(base, 'png', transparency=tuple(int(v) for v in rgb[0, 0])),
        'one_bit.png': saved(base.convert('1'), 'png'),
        'two_bit.png': png(wide[..., :1] % 4, 2, 0),
        'four_bit.png': png(wide[..., :1] % 16, 4, 0),
        'interlaced.png': png(rgb, 8, 2, interlaced=True),
        'grey16.png': png(low, 16, 0),
        'rgb16.png': png(wide[..., :3], 16, 2),
        'rgba16.png': png(wide, 16, 6),
        'grey_alpha16.png': png(wide[..., :2], 16, 4),
        'rgb.bmp': saved(base, 'bmp'),
        'rgba.bmp': saved(Image.fromarray(alpha), 'bmp'),
        'palette.bmp': saved(palette, 'bmp'),
        'one_bit.bmp': saved(base.convert('1'), 'bmp'),
        'palette.gif': saved(palette, 'gif'),
        'rgb.tga': saved(base, 'tga'),
        'packed.tga': saved(base, 'tga', compression='tga_rle'),
        'grey.tga': saved(base.convert('L'), 'tga'),
        'rgb.ppm': ppm(rgb),
        'grey.pgm': saved(base.convert('L'), 'ppm'),
        'rgb.psd': psd(rgb),
    }


def decoded(data):
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        return np.asarray(image.convert('RGB'))


def make_decode():
    cases = []
    for name, data in {**jpegs(), **others()}.items():
        (OUT / name).write_bytes(data)
        expected = name.replace('.', '_') + '.out.ppm'
        (OUT / expected).write_bytes(ppm(decoded(data)))
        cases.append({'file': name, 'pixels': expected})
    (OUT / 'decode.json').write_text(json.dumps(cases, indent=1) + '\n')


def make_cuts():
    cuts = {}
    for name in ['420.jpg', 'progressive.jpg', 'grey.jpg', 'trailing.jpg']:
        data = (OUT / name).read_bytes()
        good = []
        for length in range(1, len(data)):
            try:
                decoded(data[:length])
                good.append(length)
            except Exception:
                pass
        cuts[name] = {'first_good': good[0] if good else len(data), 'good': len(good)}
        assert good == list(range(cuts[name]['first_good'], len(data)))
    (OUT / 'cuts.json').write_text(json.dumps(cuts, indent=1) + '\n')


def make_resize():
    from fastai.vision.all import PILImage, Resize

    cases = []

    def add(source, box, size, image, **more):
        name = f'resize_{len(cases)}.out.ppm'
        (OUT / name).write_bytes(ppm(np.asarray(image)))
        cases.append({'source': source, 'box': box, 'size': size, 'pixels': name, **more})

    sources = {}
    for name, (w, h) in {'wide.ppm': (61, 40), 'tall.ppm': (33, 58), 'square.ppm': (50, 50)}.items():
        array = scene(w, h)
        (OUT / name).write_bytes(ppm(array))
        sources[name] = Image.fromarray(array)
    for source, box, size in [
        ('wide.ppm', (0, 0, 61, 40), (80, 55)), ('wide.ppm', (0, 0, 61, 40), (13, 7)), ('wide.ppm', (5, 3, 50, 38), (61, 40)),
        ('wide.ppm', (0, 0, 61, 40), (61, 20)), ('wide.ppm', (0, 0, 61, 40), (30, 40)), ('wide.ppm', (10, 10, 60, 39), (1, 1)),
        ('tall.ppm', (0, 0, 33, 58), (1, 70)), ('tall.ppm', (1, 20, 32, 51), (31, 31)), ('tall.ppm', (7, 0, 8, 58), (19, 3)),
        ('square.ppm', (0, 0, 50, 50), (49, 51)), ('square.ppm', (12, 9, 13, 10), (5, 4)), ('square.ppm', (0, 0, 50, 50), (64, 64)),
    ]:
        image = sources[source].crop(box).resize(size, Image.Resampling.BILINEAR)
        x0, y0, x1, y1 = box
        add(source, [x0, y0, x1 - x0, y1 - y0], list(size), image)
    for source, size, pcts in [('wide.ppm', 32, (0.0, 0.0)), ('wide.ppm', 48, (0.999, 0.3)), ('tall.ppm', 24, (0.4, 0.77)),
                               ('tall.ppm', 64, (0.5, 0.5)), ('square.ppm', 28, (0.9, 0.1)), ('square.ppm', 50, (0.5, 0.5))]:
        transform = Resize(size)
        transform.pcts = pcts
        add(source, None, [size, size], transform.encodes(PILImage(sources[source])), draw=list(pcts))
    boxes = []
    for w, h, size in [(61, 61, 224), (115, 130, 224), (122, 122, 224), (230, 240, 224), (150, 150, 256), (1, 9, 64), (640, 480, 256), (29, 31, 98)]:
        for pcts in [(0.0, 0.0), (0.5, 0.5), (0.9999999, 0.25)]:
            seen = {}

            class Probe(PILImage):
                def crop_pad(self, sz, tl=None, **kwargs):
                    seen['box'] = [int(tl[0]), int(tl[1]), int(sz[0]), int(sz[1])]
                    return self

            transform = Resize(size)
            transform.pcts = pcts
            transform.encodes(Probe(Image.new('RGB', (w, h))))
            boxes.append({'picture': [w, h], 'size': size, 'draw': list(pcts), 'box': seen['box']})
    (OUT / 'resize.json').write_text(json.dumps({'resize': cases, 'boxes': boxes}, indent=1) + '\n')


def make_randperm():
    import torch

    cases = []
    for n, seed in [(0, 1), (1, 1), (2, 3), (10, 42), (1000, 42), (3000, 42), (14034, 42), (1000, 0), (777, 2**32 + 5)]:
        torch.manual_seed(seed)
        p = torch.randperm(n).tolist()
        checksum = 0
        for v in p:
            checksum = (checksum * 1000003 + v + 1) % 2**64
        cases.append({'n': n, 'seed': seed, 'first': p[:10], 'checksum': str(checksum)})
    (OUT / 'randperm.json').write_text(json.dumps(cases, indent=1) + '\n')


random.seed(0)
make_decode()
make_cuts()
make_resize()
make_randperm()
