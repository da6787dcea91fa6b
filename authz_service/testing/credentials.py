"""Credentials that answer as a test wants, and remember what they were asked."""

from authz_service.core.api_key import ApiKeyRecord
from authz_service.core.identity import Identity
from authz_service.core.verdict import Reason


class FixedCredentials:
    """The same answer for every key, and the same for every token."""

    def __init__(
        self,
        *,
        key: ApiKeyRecord | Reason = Reason.UNKNOWN_KEY,
        token: Identity | Reason = Reason.UNKNOWN_ISSUER,
        accepts_tokens: bool = False,
    ) -> None:
        self._key = key
        self._token = token
        self.accepts_tokens = accepts_tokens
        self.asked: list[bytes] = []

    def find_key(self, key: bytes) -> ApiKeyRecord | Reason:
        """The answer for keys."""
        self.asked.append(key)
        return self._key

    def verify_token(self, token: bytes, now_ms: int) -> Identity | Reason:  # noqa: ARG002
        """The answer for tokens."""
        self.asked.append(token)
        return self._token
