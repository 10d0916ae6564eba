"""Picture files made byte by byte: what no program writes any more, or only a hostile one."""

import io
import struct
import zlib

import numpy as np
from PIL import Image

HEIGHT, WIDTH = 32, 48
_Y, _X = np.mgrid[:HEIGHT, :WIDTH]
RGB = np.stack([40 + _X * 4, 30 + _Y * 6, 100 + 0 * _X], -1).astype(np.uint8)
"""A picture without any symmetry, (32, 48, 3)."""
RGB[:10, :16] = (230, 30, 30)
GREY = (_X * 255 // (WIDTH - 1)).astype(np.uint8)

SRGB = ((0.4361, 0.2225, 0.0139), (0.3851, 0.7169, 0.0971), (0.1431, 0.0606, 0.7141))
"""XYZ of red, green and blue under D50 (ICC's sRGB)."""


def encoded(pixels, kind, **options):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, **options)
    return file.getvalue()


def from_light(light):
    """The numbers of sRGB, 0 to 255, for light from 0 to 1 (IEC 61966-2-1)."""
    low = 12.92 * light
    return (
        np.where(light <= 0.0031308, low, 1.055 * np.maximum(light, 1e-9) ** (1 / 2.4) - 0.055)
        * 255
    )


def chunk(name, content, checksum=None):
    found = zlib.crc32(name + content) if checksum is None else checksum
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", found)


def png(depth=8, kind=2, rows=None, before=b"", pixels=None, size=(WIDTH, HEIGHT)):
    """before: chunks before the pixels. pixels: chunks in place of those of `rows`."""
    rows = [row.tobytes() for row in RGB] if rows is None else rows
    packed = zlib.compress(b"".join(b"\0" + row for row in rows))
    pixels = chunk(b"IDAT", packed) if pixels is None else pixels
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", *size, depth, kind, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + before + pixels + chunk(b"IEND", b"")


def profile(gamma, primaries=SRGB, space=b"RGB "):
    """An ICC profile of three primaries and one exponent, or of grey."""

    def fixed(value):
        return struct.pack(">i", round(value * 65536))

    def xyz(point):
        return b"XYZ \0\0\0\0" + b"".join(map(fixed, point))

    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256)) + b"\0\0"
    text = b"desc\0\0\0\0" + struct.pack(">I", 5) + b"test\0" + bytes(79)
    tags = [(b"desc", text), (b"cprt", b"text\0\0\0\0x\0\0\0"), (b"wtpt", xyz((0.9642, 1, 0.8249)))]
    if space == b"GRAY":
        tags.append((b"kTRC", curve))
    else:
        tags += zip((b"rXYZ", b"gXYZ", b"bXYZ"), map(xyz, primaries), strict=True)
        tags += [(name, curve) for name in (b"rTRC", b"gTRC", b"bTRC")]
    body, table, start = b"", b"", 128 + 4 + 12 * len(tags)
    for name, content in tags:
        padded = content + bytes(-len(content) % 4)
        table += name + struct.pack(">II", start + len(body), len(padded))
        body += padded
    length = start + len(body)
    head = struct.pack(">I4sI4s4s4s", length, b"\0\0\0\0", 0x02400000, b"mntr", space, b"XYZ ")
    head += struct.pack(">6H", 2020, 1, 1, 0, 0, 0) + b"acsp" + bytes(28)
    head += b"".join(map(fixed, (0.9642, 1, 0.8249)))
    return head.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body


def segment(marker, content):
    return bytes([255, marker]) + struct.pack(">H", len(content) + 2) + content


def tiff(order, tags, strips, *, big=False):
    """A TIFF of `tags`, number -> (type, values), with the pixels in strips."""
    sign, start, body, offsets = (">" if order == "MM" else "<"), (16 if big else 8), b"", []
    for strip in strips:
        offsets.append(start + len(body))
        body += strip + bytes(len(strip) % 2)
    number, count, room = ("Q", "Q", 8) if big else ("I", "H", 4)
    kind = 16 if big else 4
    every = {**tags, 273: (kind, offsets), 279: (kind, [len(strip) for strip in strips])}
    letters = {3: "H", 4: "I", 16: "Q"}
    directory = start + len(body)
    beyond = directory + struct.calcsize(sign + count) + len(every) * (20 if big else 12) + room
    entries, more = [], b""
    for tag in sorted(every):
        kind, values = every[tag]
        packed = struct.pack(f"{sign}{len(values)}{letters[kind]}", *values)
        place = packed.ljust(room, b"\0")
        if len(packed) > room:
            place = struct.pack(sign + number, beyond + len(more))
            more += packed + bytes(len(packed) % 2)
        entries.append(struct.pack(f"{sign}HH{number}", tag, kind, len(values)) + place)
    head = order.encode() + struct.pack(
        sign + ("HHHQ" if big else "HI"), *((43, 8, 0) if big else (42,)), directory
    )
    table = struct.pack(sign + count, len(entries)) + b"".join(entries)
    return head + body + table + struct.pack(sign + number, 0) + more


def tags(bits, photometric, samples, *, planar=1, size=(WIDTH, HEIGHT), **more):
    """The tags of an uncompressed picture in one strip; more: t<number>=(type, values)."""
    found = {
        256: (3, [size[0]]), 257: (3, [size[1]]), 258: (3, [bits] * samples), 259: (3, [1]),
        262: (3, [photometric]), 277: (3, [samples]), 278: (3, [size[1]]), 284: (3, [planar]),
    }  # fmt: skip
    return found | {int(name[1:]): value for name, value in more.items()}


def bitmap(header, content, palette=b""):
    """A BMP of an info header, what follows it, and pixels."""
    start = 14 + len(header) + len(palette)
    head = struct.pack("<2sIHHI", b"BM", start + len(content), 0, 0, start)
    return head + header + palette + content


def info(bits, compression=0, *, size=40, height=HEIGHT, width=WIDTH, masks=(), colours=b"BGRs"):
    """An info header of BMP: of 40 bytes, or 108 or 124 with masks and a colour space."""
    head = struct.pack("<IiiHHIIiiII", size, width, height, 1, bits, compression, 0, 0, 0, 0, 0)
    if size > 40:
        head += struct.pack("<4I", *masks) + colours
    return head.ljust(size, b"\0")


def gif(canvas, corner, background=2):
    """A GIF of one green frame of 48 x 32 pixels that lies on a larger canvas."""
    palette = bytes([200, 0, 0, 0, 200, 0, 0, 0, 200, 9, 9, 9])
    codes = [
        code for place in range(WIDTH * HEIGHT) for code in ((4, 1) if place % 2 == 0 else (1,))
    ]
    held = count = 0
    out = bytearray()
    for code in [*codes, 5]:
        held |= code << count
        count += 3
        while count >= 8:
            out.append(held & 255)
            held, count = held >> 8, count - 8
    out.append(held & 255)
    blocks = b"".join(
        bytes([len(out[at : at + 255])]) + bytes(out[at : at + 255])
        for at in range(0, len(out), 255)
    )
    head = b"GIF89a" + struct.pack("<HHBBB", *canvas, 0xF1, background, 0) + palette
    return head + b"," + struct.pack("<HHHHB", *corner, WIDTH, HEIGHT, 0) + b"\2" + blocks + b"\0;"


def animated_webp(canvas, corner):
    """An animated WebP of one frame, RGB, on a larger canvas; corner: in units of 2 pixels."""

    def part(name, content):
        return name + struct.pack("<I", len(content)) + content + bytes(len(content) % 2)

    def three(value):
        return struct.pack("<I", value)[:3]

    still = encoded(RGB, "WEBP", lossless=True)[12:]
    sides = three(canvas[0] - 1) + three(canvas[1] - 1)
    frame = b"".join(map(three, (*corner, WIDTH - 1, HEIGHT - 1, 100))) + b"\2" + still
    body = part(b"VP8X", b"\2\0\0\0" + sides) + part(b"ANIM", bytes(6)) + part(b"ANMF", frame)
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


def box(name, content):
    """A box of an ISO base media file."""
    return struct.pack(">I", len(content) + 8) + name + content
