"""What people may say of a key, read strictly: every wrong field is told, no value is repeated.

Values are not repeated because any of them may be a secret that stands in the wrong field.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, Self, TypeVar, cast

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    model_validator,
)
from pydantic_core import ErrorDetails

from authz_service.core.api_key import is_environment
from authz_service.errors import ConfigurationError
from authz_service.identity.api_keys import Name
from authz_service.identity.key_store import StoredKey
from authz_service.identity.moments import moment, span
from authz_service.identity.own_limits import networks, quota_text, rate_text
from authz_service.policy.problem import Path, spell

_MAX_TITLE: Final = 128
_MAX_LIST: Final = 64
_MAX_OVERLAP_MS: Final = 366 * 86_400_000
_M = TypeVar("_M", bound=BaseModel)

# pydantic's error types, in our words. The braces are filled from the error's context.
_SENTENCES: Final = {
    "bool_type": "must be true or false",
    "list_type": "must be a list",
    "missing": "is required",
    "model_type": "must be an object",
    "string_type": "must be a string",
    "string_unicode": "must be a string",
    "too_long": "must hold at most {max_length}",
    "value_error": "{error}",
}


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What fields are judged by: the time, and the tiers of the policy where it is known."""

    now_ms: int
    tiers: Collection[str] | None


@dataclass(frozen=True, slots=True)
class FieldProblem:
    """One wrong field: where, and what to do."""

    path: Path
    message: str

    @property
    def field(self) -> str:
        """The place as people read it: `scopes[0]`; nothing for the whole."""
        return spell(self.path)

    def __str__(self) -> str:
        """`scopes[0]: must be a string`."""
        return f"{self.field}: {self.message}" if self.path else self.message


class KeyFieldsError(ConfigurationError):
    """What was said of a key is wrong. `fields` holds every problem with its place."""

    def __init__(self, fields: Sequence[FieldProblem]) -> None:
        super().__init__([str(problem) for problem in fields])
        self.fields = tuple(fields)


def _title(text: str) -> str:
    if not text.strip() or len(text) > _MAX_TITLE or not text.isprintable():
        raise ValueError(f"must be 1 to {_MAX_TITLE} printable characters")
    return text


def _tier(text: str, info: ValidationInfo) -> str:
    tiers = _surroundings(info).tiers
    if tiers is not None and text not in tiers:
        raise ValueError(f"is no tier of the policy; known are {', '.join(tiers)}")
    return text


def _moment(value: object, info: ValidationInfo) -> int | None:
    if value is None:
        return None
    return moment(_text(value), now_ms=_surroundings(info).now_ms)


def _future(at_ms: int | None, info: ValidationInfo) -> int | None:
    if at_ms is not None and at_ms <= _surroundings(info).now_ms:
        raise ValueError("is past")
    return at_ms


def _overlap(value: object) -> int:
    overlap_ms = span(_text(value))
    if overlap_ms > _MAX_OVERLAP_MS:
        raise ValueError("must be at most 366d")
    return overlap_ms


def _network(text: str) -> str:
    (network,) = networks((text,))
    return str(network)


def _environment(text: str) -> str:
    if not is_environment(text):
        raise ValueError("must be 1 to 12 of a-z and 0-9")
    return text


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("must be a string")  # noqa: TRY004 - pydantic collects ValueErrors
    return value


def _surroundings(info: ValidationInfo) -> Surroundings:
    return cast("Surroundings", info.context)


Environment = Annotated[str, AfterValidator(_environment)]
Moment = Annotated[int | None, BeforeValidator(_moment)]
FutureMoment = Annotated[Moment, AfterValidator(_future)]


class _Fields(BaseModel):
    """What every key has."""

    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)

    name: Annotated[str, AfterValidator(_title)]
    tier: Annotated[Name, AfterValidator(_tier)]
    id: Name | None = None
    subject: Name | None = None
    scopes: Annotated[list[Name], Field(max_length=_MAX_LIST)] = []
    expires_at: Moment = None
    rate: Annotated[str, AfterValidator(rate_text)] | None = None
    quota: Annotated[str, AfterValidator(quota_text)] | None = None
    networks: Annotated[
        list[Annotated[str, AfterValidator(_network)]], Field(max_length=_MAX_LIST)
    ] = []

    def stored_as(
        self, key_id: str, *, digest: str, created_at_ms: int, disabled: bool = False
    ) -> StoredKey:
        """The record of a key with these fields."""
        return StoredKey(
            id=key_id,
            digest=digest,
            name=self.name,
            subject=self.subject or key_id,
            tier=self.tier,
            scopes=tuple(self.scopes),
            expires_at_ms=self.expires_at,
            disabled=disabled,
            rate=self.rate,
            quota=self.quota,
            networks=tuple(self.networks),
            created_at_ms=created_at_ms,
        )


class NewKey(_Fields):
    """A key to be made."""

    expires_at: FutureMoment = None
    environment: Environment = "live"


class Reroll(BaseModel):
    """How a key is replaced. Without `expires_at` the new one ends when the old one would have."""

    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)

    overlap: Annotated[int, BeforeValidator(_overlap)]
    expires_at: FutureMoment = None
    environment: Environment = "live"


_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_HMAC: Final = re.compile(r"[0-9a-f]{8}:[0-9a-f]{64}")
_ID_DIGITS: Final = 12


def _sha256(text: str) -> str:
    if not _SHA256.fullmatch(text):
        raise ValueError("must be 64 lower-case hex digits")
    return text


def _hmac(text: str) -> str:
    if not _HMAC.fullmatch(text):
        raise ValueError("must be PEPPER_ID:HEX, 8 and 64 lower-case hex digits")
    return text


class ImportedKey(_Fields):
    """A key that somebody else holds: its digest in place of itself."""

    key_sha256: Annotated[str, AfterValidator(_sha256)] | None = None
    key_hmac: Annotated[str, AfterValidator(_hmac)] | None = None
    disabled: bool = False
    created_at: Moment = None

    @model_validator(mode="after")
    def _one_digest(self) -> Self:
        if (self.key_sha256 is None) == (self.key_hmac is None):
            raise ValueError("needs exactly one of key_sha256 and key_hmac")
        return self

    @property
    def digest(self) -> str:
        """The digest in the form of the store."""
        if self.key_hmac is not None:
            return f"hmac-sha256:{self.key_hmac}"
        return f"sha256:{self.key_sha256}"

    def stored(self, now_ms: int) -> StoredKey:
        """The record. Without an id of its own it has the one that a key file would give it."""
        created_at_ms = now_ms if self.created_at is None else self.created_at
        key_id = self.id or self.digest.rpartition(":")[2][:_ID_DIGITS]
        return self.stored_as(
            key_id, digest=self.digest, created_at_ms=created_at_ms, disabled=self.disabled
        )


def read_fields(model: type[_M], given: object, surroundings: Surroundings) -> _M:
    """The fields, checked.

    Raises:
        KeyFieldsError: naming every wrong one.
    """
    found, problems = check_fields(model, given, surroundings)
    if found is None:
        raise KeyFieldsError(problems)
    return found


def check_fields(
    model: type[_M], given: object, surroundings: Surroundings, *, place: Path = ()
) -> tuple[_M | None, list[FieldProblem]]:
    """The fields, or None and every problem with them, told from `place` on."""
    try:
        return model.model_validate(given, context=surroundings), []
    except ValidationError as error:
        known = ", ".join(model.model_fields)
        details = error.errors(include_url=False, include_input=False)
        return None, [_problem(found, place, known) for found in details]


def _problem(details: ErrorDetails, place: Path, known: str) -> FieldProblem:
    path = (*place, *details["loc"])
    if details["type"] == "extra_forbidden":
        return FieldProblem(path[:-1], f"has an unknown field; known are {known}")
    context: Mapping[str, Any] = details.get("ctx", {})
    sentence = _SENTENCES.get(details["type"], "is not right")
    return FieldProblem(path, sentence.format(**context))
