#!/usr/bin/python3
"""Opens sealed containers: another reader of the format, written from docs/formats/sealed.md and
sealed-image.md alone.

Usage: unsealed.py [--passphrase TEXT | --key-file FILE | --identity FILE]... CONTAINER >CONTENTS
       unsealed.py SECRETS --keys CONTAINER
       unsealed.py SECRETS --summary IMAGE...

With --keys it prints the container's keys instead of the contents, for vectors; with --summary for each image a line of its
anchor and the SHA-256 of its contents, or "refused" and why.

Exit codes: 0 everything was there; 3 an open stream, of which what is authentic was given; 4 no key opens it, or bytes were
changed; 1 it is no sealed container, or one that breaks a rule.
"""

import argparse
import hashlib
import sys

import envelope
import image
import stream
from errors import Malformed, NotAuthentic


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--passphrase", action="append", default=[])
    parser.add_argument("--key-file", action="append", default=[])
    parser.add_argument("--identity", action="append", default=[])
    parser.add_argument("--keys", action="store_true")
    parser.add_argument("--summary", action="store_true")
    parser.add_argument("containers", nargs="+")
    options = parser.parse_args()
    secrets = [("identity", envelope.identity(read(path).decode())) for path in options.identity]
    secrets += [("key file", read(path)) for path in options.key_file]
    secrets += [("passphrase", text.encode()) for text in options.passphrase]
    if options.summary:
        return summarise(options.containers, secrets)
    try:
        with open(options.containers[0], "rb") as file:
            if options.keys:
                return print_keys(file, secrets)
            return unseal(file, secrets, sys.stdout.buffer)
    except Malformed as error:
        print(f"unsealed: {error}", file=sys.stderr)
        return 1
    except NotAuthentic as error:
        print(f"unsealed: {error}", file=sys.stderr)
        return 4


def read(path):
    with open(path, "rb") as file:
        return file.read()


def print_keys(file, secrets):
    for label, key in envelope.Envelope(envelope.bytes_at(file, 0)).keys(secrets).items():
        print(label, key.hex())
    return 0


class Hash:
    def __init__(self):
        self.sum = hashlib.sha256()

    def write(self, data):
        self.sum.update(data)


def summarise(paths, secrets):
    for path in paths:
        contents = Hash()
        try:
            with open(path, "rb") as file:
                opened = image.Image(file, *image.envelope_and_keys(file, secrets))
                opened.write(contents)
            print(opened.anchor(), contents.sum.hexdigest())
        except (Malformed, NotAuthentic) as error:
            print("refused", error)
    return 0


def unseal(file, secrets, output):
    if not is_stream(file):
        image.Image(file, *image.envelope_and_keys(file, secrets)).write(output)
        return 0
    data = envelope.bytes_at(file, 0)
    parsed = envelope.Envelope(data)
    keys = parsed.keys(secrets)
    file.seek(len(data))
    return 0 if stream.unseal(file, data, parsed.container_id, keys["stream"], output) else 3


def is_stream(file):
    """An image may have lost its first envelope, and then the second one says what it is."""
    try:
        return envelope.Envelope(envelope.bytes_at(file, 0)).kind == 1
    except Malformed:
        file.seek(image.ENVELOPES[1])
        if file.read(8) == envelope.SIGNATURE:
            return False
        raise


if __name__ == "__main__":
    sys.exit(main())
