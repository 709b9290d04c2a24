"""A state that the client holds: its bytes as text, with a checksum.

It is data and opens no door: whoever alters one alters the answers to himself alone. So it is not signed
and no key is needed; the checksum finds damage.
"""

from __future__ import annotations

import base64
import binascii
import hashlib

from astroreel.errors import UserError

_CHECKSUM_BYTES = 16


def seal(state: bytes) -> str:
    """The token of a state."""
    return base64.urlsafe_b64encode(_checksum(state) + state).decode()


def unseal(token: str) -> bytes:
    """The state that a token holds; raises `UserError` where it is damaged."""
    try:
        content = base64.b64decode(token, altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        content = b""
    checksum, state = content[:_CHECKSUM_BYTES], content[_CHECKSUM_BYTES:]
    if not state or checksum != _checksum(state):
        way_out = "send it as it was given, or the object's frames from the first"
        raise UserError(f"state: damaged token: {way_out}")
    return state


def _checksum(state: bytes) -> bytes:
    return hashlib.blake2b(state, digest_size=_CHECKSUM_BYTES).digest()
