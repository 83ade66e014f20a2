"""FLAC files of silence, which take next to nothing: flac(seconds)."""
import struct

RATE, BLOCK = 8000, 65535


def crc(data, polynomial, bits):
    value, top = 0, 1 << (bits - 1)
    for byte in data:
        value ^= byte << (bits - 8)
        for _ in range(8):
            value = (value << 1 ^ polynomial if value & top else value << 1) & ((1 << bits) - 1)
    return value


def number(n):
    """As FLAC has it: UTF-8."""
    return chr(n).encode("utf-8", "surrogatepass")


def flac(seconds):
    count = int(seconds * RATE)
    info = struct.pack(">HH", BLOCK, BLOCK) + bytes(6) + \
        ((RATE << 44) | (15 << 36) | count).to_bytes(8, "big") + bytes(16)
    out = b"fLaC\x80" + len(info).to_bytes(3, "big") + info
    frame = 0
    while count > 0:
        size = min(count, BLOCK)
        # Fixed blocks, their size in 16 bits, the rate of the stream, one channel, 16 bits.
        head = b"\xff\xf8\x70\x08" + number(frame) + struct.pack(">H", size - 1)
        head += bytes([crc(head, 0x07, 8)])
        body = head + b"\0\0\0"  # a constant of 0
        out += body + crc(body, 0x8005, 16).to_bytes(2, "big")
        count -= size
        frame += 1
    return out
