"""Everything that tells who is calling, as one value that a reload replaces as a whole."""

from dataclasses import dataclass, field, replace

from authz_service.core.api_key import ApiKeyRecord
from authz_service.core.identity import Identity
from authz_service.core.verdict import Reason
from authz_service.identity.key_index import KeyIndex, ResidentKeys
from authz_service.identity.tokens import TokenVerifier


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """The API keys and the token providers of one configuration."""

    keys: KeyIndex
    tokens: TokenVerifier = field(default_factory=TokenVerifier)

    @property
    def accepts_tokens(self) -> bool:
        """Whether any bearer token could be believed."""
        return bool(self.tokens.sources)

    def beside(self, resident: ResidentKeys) -> "Credentials":
        """The same, and the keys of a store."""
        return replace(self, keys=self.keys.beside(resident))

    def find_key(self, key: bytes) -> ApiKeyRecord | Reason:
        """The record of a presented API key, or why there is none."""
        return self.keys.find(key)

    def verify_token(self, token: bytes, now_ms: int) -> Identity | Reason:
        """Whom a bearer token speaks for, or why it is not believed."""
        return self.tokens.verify(token, now_ms)
