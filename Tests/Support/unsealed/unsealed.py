#!/usr/bin/python3
"""Opens sealed containers: another reader of the format, written from docs/formats/sealed.md alone.

Usage: unsealed.py [--passphrase TEXT | --key-file FILE | --identity FILE]... [--keys] CONTAINER >CONTENTS

With --keys it prints the container's keys instead of the contents: for vectors.

Exit codes: 0 everything was there; 3 an open stream, of which what is authentic was given; 4 no key opens it, or bytes were
changed; 1 it is no sealed container, or one that breaks a rule.
"""

import argparse
import sys

import envelope
import stream
from errors import Malformed, NotAuthentic


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--passphrase", action="append", default=[])
    parser.add_argument("--key-file", action="append", default=[])
    parser.add_argument("--identity", action="append", default=[])
    parser.add_argument("--keys", action="store_true")
    parser.add_argument("container")
    options = parser.parse_args()
    secrets = [("identity", envelope.identity(read(path).decode())) for path in options.identity]
    secrets += [("key file", read(path)) for path in options.key_file]
    secrets += [("passphrase", text.encode()) for text in options.passphrase]
    try:
        with open(options.container, "rb") as file:
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


def unseal(file, secrets, output):
    data = envelope.bytes_at(file, 0)
    parsed = envelope.Envelope(data)
    if parsed.kind != 1:
        raise Malformed("SEAL003", "an image, which this cannot read yet")
    keys = parsed.keys(secrets)
    file.seek(len(data))
    return 0 if stream.unseal(file, data, parsed.container_id, keys["stream"], output) else 3


if __name__ == "__main__":
    sys.exit(main())
