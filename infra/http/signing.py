"""Texts that only this deployment can have made: cursors of lists, and links to media that work without a token.

The key is derived from a secret of the deployment by HMAC-SHA256 under a name of its own, so it opens nothing else.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac

from infra.http.tokens import read_secret
from infra.settings import Settings

_SIGNATURE_BYTES = 16
_SECRET = "link.key"  # nosec B105 # a file's name, no secret
_DERIVED_FOR = b"darkroom api signing"


def open_signer(settings: Settings) -> Signer:
    """The signer of this deployment. Raises OperatorError where its secret is missing."""
    return Signer(read_secret(settings.secrets_dir, _SECRET))


class Signer:
    """Signs and checks texts for a purpose."""

    def __init__(self, secret: bytes) -> None:
        self._key = hmac.new(secret, _DERIVED_FOR, hashlib.sha256).digest()

    def sign(self, purpose: str, text: bytes) -> str:
        """The signature in base64url without padding."""
        digest = hmac.new(self._key, purpose.encode() + b"\n" + text, hashlib.sha256).digest()
        return _text(digest[:_SIGNATURE_BYTES])

    def is_signed(self, purpose: str, text: bytes, signature: str) -> bool:
        """Whether `sign` made the signature, in constant time."""
        return hmac.compare_digest(self.sign(purpose, text).encode(), signature.encode("utf-8", "replace"))

    def pack(self, purpose: str, content: bytes) -> str:
        """The content and its signature in one opaque text."""
        return f"{_text(content)}.{self.sign(purpose, content)}"

    def unpack(self, purpose: str, text: str) -> bytes | None:
        """The content that `pack` was given, None for any other text."""
        encoded, _, signature = text.partition(".")
        try:
            content = base64.b64decode(encoded + "=" * (-len(encoded) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            return None
        return content if self.is_signed(purpose, content, signature) else None


def _text(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
