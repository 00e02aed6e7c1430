"""The envelope: docs/formats/sealed.md, Envelope, Slots and Keys."""

import hashlib
import hmac
import struct

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes, hpke
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.kdf.hkdf import HKDF, HKDFExpand
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap

from errors import Malformed, NotAuthentic

HEADER = struct.Struct("<8s4H4I16s2Q")
SIGNATURE = bytes.fromhex("895345414C0D0A1A")
CODE_LENGTH = 32
LABELS = ["header", "page", "journal", "stream", "data"]
BODY_LENGTHS = {1: 76, 2: 76, 3: 72, 4: 80}


def bytes_at(file, offset):
    """The whole envelope at an offset, by the length that it gives itself."""
    file.seek(offset)
    head = file.read(HEADER.size)
    length = envelope_length(head)
    data = head + file.read(length - len(head))
    if len(data) != length:
        raise Malformed("SEAL006", "the file ends within the envelope")
    return data


def envelope_length(head):
    if len(head) < HEADER.size or head[:8] != SIGNATURE:
        raise Malformed("SEAL001", "no signature of a sealed container")
    _, version, suite, _, _, length, incompatible, *_ = HEADER.unpack(head[:HEADER.size])
    if (version, suite, incompatible) != (1, 1, 0):
        raise Malformed("SEAL002", f"version {version}, suite {suite}, flags {incompatible:#x}")
    if not 96 <= length <= 65536:
        raise Malformed("SEAL003", f"an envelope of {length} bytes")
    return length


class Envelope:
    def __init__(self, data):
        if envelope_length(data) != len(data):
            raise Malformed("SEAL003", "another length than the envelope says")
        (_, _, self.suite, self.kind, count, _, _, _, self.chunk_size, self.container_id, self.sequence,
         self.creation_time) = HEADER.unpack(data[:HEADER.size])
        self.data = data
        if count == 0:
            raise Malformed("SEAL011", "its keys were erased")
        sizes = {1: [65536], 2: [4096, 8192, 16384, 32768, 65536]}
        if self.chunk_size not in sizes.get(self.kind, []) or not 1 <= count <= 32:
            raise Malformed("SEAL003", f"kind {self.kind}, chunks of {self.chunk_size}, {count} slots")
        self.slots = self.parse_slots(count)

    def parse_slots(self, count):
        place, end, slots = HEADER.size, len(self.data) - CODE_LENGTH, []
        for _ in range(count):
            if end - place < 4:
                raise Malformed("SEAL004", "a slot ends behind the envelope")
            kind, length = struct.unpack_from("<HH", self.data, place)
            body = self.data[place + 4:min(end, place + 4 + length)]
            if len(body) != length or BODY_LENGTHS.get(kind, length) != length:
                raise Malformed("SEAL004", f"a slot of type {kind} and {length} bytes")
            check_cost(kind, body)
            slots.append((kind, body))
            place += 4 + length
        if place != end:
            raise Malformed("SEAL003", "bytes are left before the code")
        return slots

    def keys(self, secrets):
        """The five keys by label, from the first slot that one of the secrets opens and the code confirms."""
        for kind, secret in secrets:
            for slot in self.slots:
                master_key = open_slot(slot, kind, secret, self.container_id)
                if master_key is None:
                    continue
                keys = {label: self.derive(master_key, label) for label in LABELS}
                if self.is_authentic(keys):
                    return keys
        raise NotAuthentic("no key opens it, or the envelope was changed")

    def is_authentic(self, keys):
        code = hmac.digest(keys["header"], self.data[:-CODE_LENGTH], "sha256")
        return hmac.compare_digest(code, self.data[-CODE_LENGTH:])

    def derive(self, master_key, label):
        info = b"vhdseal/1/" + label.encode() + struct.pack("<BHH", 0, self.suite, self.kind) + self.container_id
        return HKDFExpand(hashes.SHA256(), 32, info).derive(master_key)


def check_cost(kind, body):
    if kind == 1:
        log2n, r, p, zero = body[:4]
        if not 14 <= log2n <= 20 or r != 8 or not 1 <= p <= 4 or zero != 0:
            raise Malformed("SEAL005", f"scrypt with 2^{log2n}, {r}, {p}, {zero}")
    if kind == 2:
        iterations = struct.unpack_from("<I", body)[0]
        if not 210_000 <= iterations <= 10_000_000:
            raise Malformed("SEAL005", f"PBKDF2 with {iterations} iterations")


def open_slot(slot, kind, secret, container_id):
    """The master key, or None where this secret is not the slot's."""
    number, body = slot
    if kind == "identity" and number == 4:
        suite = hpke.Suite(hpke.KEM.X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)
        try:
            return suite.decrypt(body, X25519PrivateKey.from_private_bytes(secret), b"vhdseal/1/slot" + container_id)
        except (InvalidTag, ValueError):
            return None
    if kind == "key file" and number == 3 and len(secret) >= 32:
        key = HKDF(hashes.SHA256(), 32, salt=body[:32], info=b"vhdseal/1/keyfile").derive(secret)
        return unwrapped(key, body[32:])
    if kind == "passphrase" and number == 1:
        log2n, r, p = body[:3]
        key = hashlib.scrypt(
            secret, salt=body[4:36], n=1 << log2n, r=r, p=p, maxmem=(128 * r << log2n) + (1 << 24), dklen=32)
        return unwrapped(key, body[36:])
    if kind == "passphrase" and number == 2:
        iterations = struct.unpack_from("<I", body)[0]
        return unwrapped(hashlib.pbkdf2_hmac("sha512", secret, body[4:36], iterations, 32), body[36:])
    return None


def unwrapped(key, wrapped):
    try:
        return aes_key_unwrap(key, wrapped)
    except InvalidUnwrap:
        return None


def identity(text):
    """The private key in a file as age-keygen makes it."""
    for line in text.splitlines():
        if line.startswith("AGE-SECRET-KEY-1"):
            prefix, key = bech32(line.strip())
            if prefix == "age-secret-key-" and len(key) == 32:
                return key
    raise Malformed("-", "no identity in its file")


def bech32(text):
    """BIP 173: the prefix and the bytes."""
    alphabet = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
    prefix, _, rest = text.lower().rpartition("1")
    values = [alphabet.index(character) for character in rest]
    check = 1
    for value in [ord(c) >> 5 for c in prefix] + [0] + [ord(c) & 31 for c in prefix] + values:
        top, check = check >> 25, (check & 0x1FFFFFF) << 5 ^ value
        for bit, generator in enumerate([0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3]):
            check ^= generator if top >> bit & 1 else 0
    if check != 1:
        raise Malformed("-", "a mistyped identity")
    number, count = 0, 5 * len(values[:-6])
    for value in values[:-6]:
        number = number << 5 | value
    return prefix, (number >> count % 8).to_bytes(count // 8, "big")
