"""Everything that tells who is calling, as one value that a reload replaces as a whole."""

from dataclasses import dataclass

from authz_service.core.api_key import ApiKeyRecord
from authz_service.core.identity import Identity
from authz_service.core.verdict import Reason
from authz_service.identity.api_keys import KeyIndex


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """The API keys and the token providers of one configuration."""

    keys: KeyIndex

    @property
    def accepts_tokens(self) -> bool:
        """Whether any bearer token could be believed."""
        return False

    def find_key(self, key: bytes) -> ApiKeyRecord | Reason:
        """The record of a presented API key, or why there is none."""
        return self.keys.find(key) or Reason.UNKNOWN_KEY

    def verify_token(self, token: bytes, now_ms: int) -> Identity | Reason:  # noqa: ARG002
        """Whom a bearer token speaks for, or why it is not believed."""
        return Reason.UNKNOWN_ISSUER
