"""The API keys this process knows, found by digest.

The whole set is resident, so an unknown key costs one look-up and no I/O.
"""

import json
import re
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Annotated, Self

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    SecretStr,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from authz_service.core.api_key import ApiKeyRecord, digest, is_acceptable
from authz_service.errors import ConfigurationError

_NAME = re.compile(r"[A-Za-z0-9._:@/-]{1,128}")
_DIGEST_HEX = re.compile(r"[0-9a-f]{64}")
_ID_DIGITS = 12


def _header_safe(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise ValueError("must be 1 to 128 of A-Z a-z 0-9 . _ : @ / -")
    return text


def _sha256_hex(text: str) -> str:
    if not _DIGEST_HEX.fullmatch(text):
        raise ValueError("must be 64 lower-case hex digits")
    return text


def _acceptable_key(key: SecretStr) -> SecretStr:
    if not is_acceptable(key.get_secret_value().encode()):
        raise ValueError("must be 8 to 256 printable ASCII characters without space or comma")
    return key


Name = Annotated[str, AfterValidator(_header_safe)]


class _Entry(BaseModel):
    """One entry of `API_KEYS`: the key itself, or its SHA-256."""

    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)

    key: Annotated[SecretStr, AfterValidator(_acceptable_key)] | None = None
    key_sha256: Annotated[str, AfterValidator(_sha256_hex)] | None = None
    name: str
    tier: Name
    id: Name | None = None
    subject: Name | None = None
    scopes: tuple[Name, ...] = ()
    expires_at: AwareDatetime | None = None
    disabled: bool = False

    @model_validator(mode="after")
    def _one_secret(self) -> Self:
        if (self.key is None) == (self.key_sha256 is None):
            raise ValueError("needs exactly one of key and key_sha256")
        return self

    def digest(self) -> bytes:
        if self.key is not None:
            return digest(self.key.get_secret_value().encode())
        return bytes.fromhex(self.key_sha256 or "")

    def record(self) -> ApiKeyRecord:
        key_id = self.id or self.digest().hex()[:_ID_DIGITS]
        return ApiKeyRecord(
            id=key_id,
            name=self.name,
            subject=self.subject or key_id,
            tier=self.tier,
            scopes=self.scopes,
            expires_at_ms=_epoch_ms(self.expires_at),
            disabled=self.disabled,
        )


def _epoch_ms(moment: datetime | None) -> int | None:
    return None if moment is None else int(moment.timestamp() * 1000)


_KNOWN = ", ".join(_Entry.model_fields)
_ENTRIES = TypeAdapter(list[_Entry], config=ConfigDict(hide_input_in_errors=True))


class KeyIndex:
    """Finds a key's record. Looking up compares digests, so timing tells nothing of a key."""

    def __init__(self, records: Mapping[bytes, ApiKeyRecord]) -> None:
        self._records = dict(records)

    def __len__(self) -> int:
        """How many keys are known."""
        return len(self._records)

    def find(self, key: bytes) -> ApiKeyRecord | None:
        """The record of a presented key, or None."""
        return self._records.get(digest(key))


def load_api_keys(text: str, *, tiers: Collection[str] | None) -> KeyIndex:
    """The keys of the `API_KEYS` variable: a JSON list of entries, each of one of `tiers`.

    Without `tiers` (the policy itself is wrong) the tiers of the keys go unchecked.

    Raises:
        ConfigurationError: naming every wrong entry by its place; never a key.
    """
    entries = _parse(text)
    problems = _tier_problems(entries, tiers) + _duplicate_problems(entries)
    if problems:
        raise ConfigurationError(problems)
    return KeyIndex({entry.digest(): entry.record() for entry in entries})


def _parse(text: str) -> list[_Entry]:
    if not text:
        return []
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        # The text holds secrets, and a JSON error may quote it: say where to look, not what.
        raise ConfigurationError(["API_KEYS: is not valid JSON"]) from None
    try:
        return _ENTRIES.validate_json(text)
    except ValidationError as error:
        raise ConfigurationError([_problem(details) for details in error.errors()]) from None


def _problem(details: Mapping[str, object]) -> str:
    """One line for one mistake: the place and the rule, never the value."""
    location = details["loc"]
    place = "API_KEYS"
    for part in location if isinstance(location, tuple) else ():
        place += f"[{part}]" if isinstance(part, int) else f".{part}"
    if details["type"] == "missing":
        return f"{place}: is required"
    if details["type"] == "extra_forbidden":
        # The unknown name may be a secret that slipped to the left of its colon.
        return f"{place.rpartition('.')[0]}: has an unknown key; known are {_KNOWN}"
    sentence = str(details["msg"]).removeprefix("Value error, ").replace("Input should", "should")
    return f"{place}: {sentence}"


def _tier_problems(entries: list[_Entry], tiers: Collection[str] | None) -> list[str]:
    if tiers is None:
        return []
    known = ", ".join(tiers)
    # The value is not quoted: it may be a key that stands in the wrong field.
    return [
        f"API_KEYS[{place}].tier: is no tier of the policy; known are {known}"
        for place, entry in enumerate(entries)
        if entry.tier not in tiers
    ]


def _duplicate_problems(entries: list[_Entry]) -> list[str]:
    problems: list[str] = []
    digests: dict[bytes, int] = {}
    ids: dict[str, int] = {}
    for place, entry in enumerate(entries):
        first = digests.setdefault(entry.digest(), place)
        if first != place:
            problems.append(f"API_KEYS[{place}]: the same key as API_KEYS[{first}]")
            continue
        first = ids.setdefault(entry.record().id, place)
        if first != place:
            problems.append(f"API_KEYS[{place}].id: the same id as API_KEYS[{first}]")
    return problems
