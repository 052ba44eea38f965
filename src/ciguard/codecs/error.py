"""What a codec says of bytes that it cannot let through."""

from __future__ import annotations


class WireError(Exception):
    """The bytes are not what their API allows; ``str()`` says what is wrong and quotes nothing of them."""
