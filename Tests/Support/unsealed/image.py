"""Sealed images: docs/formats/sealed-image.md. Opens with recovery in memory."""

import hashlib
import hmac
import struct

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from envelope import Envelope, bytes_at
from errors import Malformed, NotAuthentic

PAGE = 4096
ENVELOPES = [0, 65536]
ROOTS = [131072, 262144]
ROOT_LENGTH = 131072
JOURNAL = 393216
CHUNKS, CHILDREN, DIGESTS = 84, 126, 4092
ROOT = struct.Struct("<32s8s7Q32s")
RECORD = struct.Struct("<32s8sQIIQQQ32s32s48s")
ABSENT, DATA, ZERO = 0, 1, 2
IN_PLACE = 2**64 - 1
NO_DIGEST = bytes(32)


def envelope_and_keys(file, secrets):
    """Of the copies that have a right form the one with the higher sequence, if a secret opens it."""
    copies, first = [], None
    for offset in ENVELOPES:
        try:
            copy = Envelope(bytes_at(file, offset))
            if copy.kind != 2:
                raise Malformed("SEAL003", "not an image")
            copies.append(copy)
        except Malformed as error:
            first = first or error
    if not copies:
        raise first
    copies.sort(key=lambda copy: -copy.sequence)
    for number, copy in enumerate(copies):
        try:
            keys = copy.keys(secrets)
        except NotAuthentic:
            continue
        if any(newer.is_authentic(keys) for newer in copies[:number]):
            break
        return copy, keys
    raise NotAuthentic("no key opens it, or the envelope was changed")


class Image:
    def __init__(self, file, envelope, keys):
        self.file, self.keys = file, keys
        self.id, self.chunk = envelope.container_id, envelope.chunk_size
        self.subkeys = XAES(keys["data"])
        self.length = file.seek(0, 2)
        self.read_root()
        # By (level, number): pages as the last commit has them; positions of saved ones; chunks that are in the journal.
        self.pages, self.saved, self.in_journal = {}, {}, {}
        self.read_journal()
        self.check_top()

    # Root block

    def read_root(self):
        roots = [root for root in map(self.root, ROOTS) if root]
        if not roots:
            raise Malformed("SEAL009", "no root block")
        self.sequence, self.generation, self.bytes, self.ring, self.tail, least, self.digests = max(roots)
        if self.length < max(least, self.chunks_start()):
            raise Malformed("SEAL006", "the file was cut")
        self.root_digest = self.digest_of_root()

    def root(self, offset):
        area = self.at(offset, ROOT_LENGTH)
        if len(area) < ROOT_LENGTH:
            return None
        code, signature, sequence, generation, count, ring, tail, least, digests, _ = ROOT.unpack(area[:ROOT.size])
        if signature != b"SEALROOT" or digests > DIGESTS:
            return None
        covered = area[32:ROOT.size + 32 * digests]
        if not hmac.compare_digest(hmac.digest(self.keys["page"], covered, "sha256"), code):
            return None
        is_ring = 262144 <= ring <= 1 << 30 and ring % PAGE == 0 and ring // self.chunk >= 8
        limit = DIGESTS * CHILDREN**2 * CHUNKS * self.chunk
        if not is_ring or count > limit or generation >> 56 or tail % PAGE or tail >> 63 or sequence >> 63:
            return None
        return sequence, generation, count, ring, tail, least, split(covered[ROOT.size - 32:])

    def digest_of_root(self):
        return hashlib.sha256(struct.pack("<QQ", self.bytes, self.generation) + b"".join(self.digests)).digest()

    def check_top(self):
        for number in range(DIGESTS):
            offset = self.page_offset(2, number)
            if number >= len(self.digests) and offset >= self.length:
                return
            if self.page(2, number) is None and any(self.at(offset, PAGE)):
                raise NotAuthentic(f"a page where page {number} of level 2 is absent")

    # Places

    def chunks_start(self):
        return JOURNAL + self.ring

    def chunk_offset(self, index):
        group = index // CHUNKS
        first = group // CHILDREN
        second = first // CHILDREN
        return self.chunks_start() + PAGE * (second + 1 + first + 1 + group + 1) + index * self.chunk

    def page_offset(self, level, number):
        return self.chunk_offset(number * CHILDREN**level * CHUNKS) - PAGE * (level + 1)

    def at(self, offset, count):
        self.file.seek(offset)
        return self.file.read(count)

    def in_ring(self, position, count):
        start = position % self.ring
        head = self.at(JOURNAL + start, min(count, self.ring - start))
        return head + self.at(JOURNAL, count - len(head)) if len(head) < count else head

    # Pages

    def page(self, level, number):
        """The page, or None where there is none."""
        if (level, number) not in self.pages:
            self.pages[level, number] = self.read_page(level, number, self.page_digest(level, number))
        return self.pages[level, number]

    def page_digest(self, level, number):
        if level == 2:
            return self.digests[number] if number < len(self.digests) else NO_DIGEST
        above = self.page(level + 1, number // CHILDREN)
        start = 64 + 32 * (number % CHILDREN)
        return bytes(above[start:start + 32]) if above else NO_DIGEST

    def read_page(self, level, number, digest):
        if digest == NO_DIGEST:
            return None
        candidates = [self.at(self.page_offset(level, number), PAGE)]
        candidates += [self.in_ring(position, PAGE) for position in self.saved.get((level, number), [])]
        for data in candidates:
            if hashlib.sha256(data).digest() == digest and self.page_code(data, level, number) == data[:32]:
                return bytearray(data)
        raise NotAuthentic(f"page {number} of level {level} is not authentic")

    def page_code(self, data, level, number):
        place = self.id + struct.pack("<QQ", level, number)
        return hmac.digest(self.keys["page"], bytes(data[32:]) + place, "sha256")

    def settle(self, changed, generation):
        """Codes and digests of changed metadata pages, and of all above them."""
        for level in range(3):
            above = set()
            for number in changed:
                page = self.pages[level, number]
                struct.pack_into("<QQ", page, 32, number, generation)
                struct.pack_into("<I", page, 48, level)
                page[:32] = self.page_code(page, level, number)
                digest = hashlib.sha256(page).digest()
                if level == 2:
                    self.digests += [NO_DIGEST] * (number + 1 - len(self.digests))
                    self.digests[number] = digest
                    continue
                parent = self.page_to_change(level + 1, number // CHILDREN)
                start = 64 + 32 * (number % CHILDREN)
                parent[start:start + 32] = digest
                above.add(number // CHILDREN)
            changed = above

    def page_to_change(self, level, number):
        if self.page(level, number) is None:
            self.pages[level, number] = bytearray(PAGE)
        return self.pages[level, number]

    # Journal

    def read_journal(self):
        records = list(self.records())
        for record in records:
            if record["kind"] == 2:
                for number in range(record["count"]):
                    page = struct.unpack_from("<QQ", record["entries"], 16 * number)
                    self.saved.setdefault(page, []).append(record["payload"] + PAGE * number)
        for record in records:
            if record["kind"] == 1:
                self.replay(record)

    def records(self):
        """Those that follow each other."""
        position, generation, digest = self.tail, self.generation, self.root_digest
        while True:
            record = self.record(position)
            step = 1 if record and record["kind"] == 1 else 0
            if not record or record["previous"] != digest or record["generation"] != generation + step:
                return
            yield record
            position, generation, digest = record["end"], record["generation"], record["root"]

    def record(self, position):
        room = self.ring - (position - self.tail)
        if room < PAGE:
            return None
        (code, signature, own, kind, count, payload, generation, size, previous, root,
         _) = RECORD.unpack(self.in_ring(position, RECORD.size))
        if signature != b"SEALJRNL" or own != position or kind not in (1, 2) or count > 65536 or payload % PAGE:
            return None
        covered = RECORD.size + count * (64 if kind == 1 else 16)
        start = (covered + PAGE - 1) // PAGE * PAGE
        if start + payload > room:
            return None
        data = self.in_ring(position, covered)
        if not hmac.compare_digest(hmac.digest(self.keys["journal"], data[32:], "sha256"), code):
            return None
        return {"kind": kind, "count": count, "entries": data[RECORD.size:], "generation": generation, "bytes": size,
                "previous": previous, "root": root, "payload": position + start, "end": position + start + payload}

    def replay(self, record):
        changed = set()
        for number in range(record["count"]):
            self.change(record["entries"][64 * number:64 * number + 64], record, changed)
        self.settle(changed, record["generation"])
        self.generation, self.bytes = record["generation"], record["bytes"]
        self.root_digest = self.digest_of_root()
        if self.root_digest != record["root"]:
            raise NotAuthentic("a commit does not make what it says")

    def change(self, data, record, changed):
        index, place = struct.unpack_from("<QQ", data)
        entry = data[16:]
        state = entry_state(entry)
        if state == DATA:
            indices = [index]
            if place != IN_PLACE and not record["payload"] <= place <= record["end"] - self.chunk:
                raise NotAuthentic("a commit's chunk is outside of its record")
        elif state == ZERO and 0 < place <= CHUNKS - index % CHUNKS:
            indices = range(index, index + place)
        else:
            raise NotAuthentic("a commit's entry is none")
        for index in indices:
            group = index // CHUNKS
            start = 64 + 48 * (index % CHUNKS)
            self.page_to_change(0, group)[start:start + 48] = entry
            changed.add(group)
            self.in_journal.pop(index, None)
            if state == DATA and place != IN_PLACE:
                self.in_journal[index] = place

    # Contents

    def write(self, output):
        """All of the disk."""
        left = self.bytes
        index = 0
        while left > 0:
            text = self.text(index)[:left]
            output.write(text)
            left -= len(text)
            index += 1

    def text(self, index):
        page = self.page(0, index // CHUNKS)
        start = 64 + 48 * (index % CHUNKS)
        entry = bytes(page[start:start + 48]) if page else bytes(48)
        if entry_state(entry) != DATA:
            return bytes(self.chunk)
        if index in self.in_journal:
            sealed = self.in_ring(self.in_journal[index], self.chunk)
        else:
            sealed = self.at(self.chunk_offset(index), self.chunk)
        additional = b"C" + self.id + struct.pack("<Q", index) + entry[40:]
        try:
            return self.subkeys.open(entry[:24], sealed + entry[24:40], additional)
        except InvalidTag:
            raise NotAuthentic(f"chunk {index} is not authentic") from None

    def anchor(self):
        return f"sealed1:{self.id.hex()}:{self.generation}:{self.root_digest.hex()}"


class XAES:
    """XAES-256-GCM as C2SP defines it."""

    def __init__(self, key):
        self.block = Cipher(algorithms.AES(key), modes.ECB()).encryptor()
        first = int.from_bytes(self.block.update(bytes(16)), "big")
        self.mask = (first << 1 & (1 << 128) - 1) ^ (0x87 if first >> 127 else 0)

    def open(self, nonce, sealed, additional):
        key = b""
        for counter in (1, 2):
            message = int.from_bytes(bytes([0, counter, 0x58, 0]) + nonce[:12], "big") ^ self.mask
            key += self.block.update(message.to_bytes(16, "big"))
        return AESGCM(key).decrypt(nonce[12:], sealed, additional)


def entry_state(entry):
    word = struct.unpack_from("<Q", entry, 40)[0]
    if word >> 56 & 15 or word >> 60 > ZERO:
        raise NotAuthentic("an entry's word is none")
    return word >> 60


def split(data):
    return [data[start:start + 32] for start in range(0, len(data), 32)]
