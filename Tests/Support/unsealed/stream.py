"""Sealed streams: docs/formats/sealed.md, Sealed stream."""

import hashlib
import struct

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from errors import Malformed, NotAuthentic

HEAD = struct.Struct("<4sB3sQ32s")
SEGMENT = 65536
TAG = 16


class CutOff(Exception):
    """The file ends before the end frame."""


def unseal(file, envelope, container_id, stream_key, output):
    """Writes the text. Returns whether the end frame was there: if not, the stream is open."""
    chain, index, written = hashlib.sha256(envelope).digest(), 0, 0
    try:
        while True:
            head = exactly(file, HEAD.size)
            signature, kind, zeros, number, salt = HEAD.unpack(head)
            if (signature, zeros) != (b"FRM1", bytes(3)) or kind not in (1, 2) or number != index:
                raise Malformed("SEAL007", f"no head of frame {index}")
            info = container_id + struct.pack("<BQ", kind, index) + chain
            key = HKDF(hashes.SHA256(), 32, salt=salt, info=info).derive(stream_key)
            if kind == 2:
                check_end(file, key, index, written)
                return True
            count, last_tag = copy_segments(file, key, output)
            written += count
            chain = hashlib.sha256(chain + head + last_tag).digest()
            index += 1
    except CutOff:
        return False


def copy_segments(file, key, output):
    written, number = 0, 0
    while True:
        text, is_last, tag = segment(file, key, number)
        output.write(text)
        written += len(text)
        if is_last:
            return written, tag
        number += 1


def segment(file, key, number):
    word = struct.unpack("<I", exactly(file, 4))[0]
    count, is_last = word & 0x7FFFFFFF, bool(word >> 31)
    if count > SEGMENT or (not is_last and count < SEGMENT) or (count == 0 and number > 0):
        raise Malformed("SEAL007", f"the word {word:#x} of segment {number}")
    sealed = exactly(file, count + TAG)
    nonce = number.to_bytes(11, "big") + bytes([is_last])
    try:
        return AESGCM(key).decrypt(nonce, sealed, None), is_last, sealed[-TAG:]
    except InvalidTag:
        raise NotAuthentic(f"segment {number} is not authentic") from None


def check_end(file, key, index, written):
    text, is_last, _ = segment(file, key, 0)
    if not is_last or text != struct.pack("<QQ", index, written):
        raise Malformed("SEAL007", "the end frame tells of another stream")
    if file.read(1):
        raise Malformed("SEAL008", "bytes follow the end frame")


def exactly(file, count):
    data = file.read(count)
    if len(data) < count:
        raise CutOff
    return data
