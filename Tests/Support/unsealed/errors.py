class Malformed(Exception):
    """Bytes that break a rule of the format."""

    def __init__(self, code, problem):
        super().__init__(f"{code}: {problem}")
        self.code = code


class NotAuthentic(Exception):
    """A wrong key, or bytes that were changed."""
