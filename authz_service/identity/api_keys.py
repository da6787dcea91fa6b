"""The API keys of the configuration: `API_KEYS` and the key file, read strictly."""

import json
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import takewhile
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
from pydantic_core import ErrorDetails

from authz_service.core.api_key import ApiKeyRecord, is_acceptable
from authz_service.core.key_digest import Pepper, digest, digests, pepper_id, read_digest
from authz_service.errors import ConfigurationError
from authz_service.identity.key_index import KeyIndex
from authz_service.identity.names import is_name
from authz_service.identity.own_limits import networks, overrides, quota_text, rate_text
from authz_service.policy.parse import Document, parse
from authz_service.policy.problem import Path, Problem, Rule, spell
from authz_service.policy.strict_json import RepeatedMemberError, read_json

_DIGEST_HEX = re.compile(r"[0-9a-f]{64}")
_PEPPERED_HEX = re.compile(r"[0-9a-f]{8}:[0-9a-f]{64}")
_SHA256_HEX_DIGITS = 64
_ID_DIGITS = 12


def _header_safe(text: str) -> str:
    if not is_name(text):
        raise ValueError("must be 1 to 128 of A-Z a-z 0-9 . _ : @ / -")
    return text


def _sha256_hex(text: str) -> str:
    if not _DIGEST_HEX.fullmatch(text):
        raise ValueError("must be 64 lower-case hex digits")
    return text


def _peppered_hex(text: str) -> str:
    if not _PEPPERED_HEX.fullmatch(text):
        raise ValueError("must be PEPPER_ID:HEX, 8 and 64 lower-case hex digits")
    return text


def _acceptable_key(key: SecretStr) -> SecretStr:
    value = key.get_secret_value().encode()
    if is_acceptable(value):
        return key
    if value.startswith(b"sk_"):
        raise ValueError("begins with sk_ and is no sk_ENVIRONMENT_RANDOM_CHECKSUM: mistyped?")
    raise ValueError("must be 8 to 256 printable ASCII characters without space or comma")


def _network(text: str) -> str:
    networks((text,))
    return text


Name = Annotated[str, AfterValidator(_header_safe)]


class _Entry(BaseModel):
    """One entry of `API_KEYS`: the key itself, or a digest of it."""

    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)

    key: Annotated[SecretStr, AfterValidator(_acceptable_key)] | None = None
    key_sha256: Annotated[str, AfterValidator(_sha256_hex)] | None = None
    key_hmac: Annotated[str, AfterValidator(_peppered_hex)] | None = None
    name: str
    tier: Name
    id: Name | None = None
    subject: Name | None = None
    scopes: tuple[Name, ...] = ()
    expires_at: AwareDatetime | None = None
    disabled: bool = False
    rate: Annotated[str, AfterValidator(rate_text)] | None = None
    quota: Annotated[str, AfterValidator(quota_text)] | None = None
    networks: tuple[Annotated[str, AfterValidator(_network)], ...] = ()
    created_at: AwareDatetime | None = None  # for people

    @model_validator(mode="after")
    def _one_secret(self) -> Self:
        if [self.key, self.key_sha256, self.key_hmac].count(None) != 2:  # noqa: PLR2004
            raise ValueError("needs exactly one of key, key_sha256 and key_hmac")
        return self

    def digests(self, peppers: Sequence[Pepper]) -> list[bytes]:
        """Every digest the key is known to have; it is found by the one in use."""
        if self.key is not None:
            return digests(self.key.get_secret_value().encode(), peppers)
        if self.key_hmac is not None:
            return [read_digest(f"hmac-sha256:{self.key_hmac}")]
        return [read_digest(f"sha256:{self.key_sha256}")]

    def found_by(self, peppers: Sequence[Pepper]) -> bytes:
        """The digest the key is found by: of a plain key, the one under the pepper in use."""
        if self.key is not None and peppers:
            return digest(self.key.get_secret_value().encode(), peppers[0])
        return self.digests(())[0]

    def key_id(self) -> str:
        """Its own, or the beginning of a digest that stays as it is when a pepper changes."""
        return self.id or self.digests(())[0].hex()[-_SHA256_HEX_DIGITS:][:_ID_DIGITS]

    def record(self) -> ApiKeyRecord:
        key_id = self.key_id()
        return ApiKeyRecord(
            id=key_id,
            subject=self.subject or key_id,
            tier=self.tier,
            scopes=self.scopes,
            expires_at_ms=_epoch_ms(self.expires_at),
            disabled=self.disabled,
            overrides=overrides(self.rate, self.quota),
            networks=networks(self.networks),
        )


def _epoch_ms(moment: datetime | None) -> int | None:
    return None if moment is None else int(moment.timestamp() * 1000)


# What is wrong with the text of a key file. None of these quotes it: any part may be a secret.
_SENTENCES = {
    Rule.YAML: "is not valid YAML",
    Rule.YAML_ALIAS: "is an alias; write the value out",
    Rule.YAML_DEPTH: "nests too deeply",
    Rule.YAML_KEY: "has a key that is not a string; quote it",
    Rule.YAML_DUPLICATE_KEY: "has a key that stands there twice",
    Rule.YAML_TAG: "is no string, number or boolean; quote it",
    Rule.VARIABLE: "is a variable, and key files have none; write the value out",
}
_KNOWN = ", ".join(_Entry.model_fields)
_ENTRIES = TypeAdapter(list[_Entry], config=ConfigDict(hide_input_in_errors=True))


@dataclass(frozen=True, slots=True)
class Source:
    """Where key entries come from: a name for messages, the text, and how to tell a place in it."""

    name: str
    text: str = field(repr=False)
    is_yaml: bool = False


def load_api_keys(
    sources: Sequence[Source],
    *,
    tiers: Collection[str] | None,
    peppers: Sequence[Pepper] | None = (),
) -> KeyIndex:
    """The keys of all sources together: each a list of entries, each entry of one of `tiers`.

    Without `tiers` (the policy itself is wrong) the tiers of the keys go unchecked, and without
    `peppers` (their file is wrong) the peppers.

    Raises:
        ConfigurationError: naming every wrong entry by its place; never a key.
    """
    problems: list[str] = []
    entries: list[_Placed] = []
    for source in sources:
        try:
            entries += _read(source)
        except ConfigurationError as error:
            problems += error.problems
    in_use = peppers or ()
    problems += _tier_problems(entries, tiers) + _duplicate_problems(entries, in_use)
    if peppers is not None:
        problems += _pepper_problems(entries, peppers)
    if problems:
        raise ConfigurationError(problems)
    return KeyIndex(
        {placed.entry.found_by(in_use): placed.entry.record() for placed in entries},
        peppers=in_use,
    )


@dataclass(frozen=True, slots=True)
class _Placed:
    """An entry, and where it stands."""

    place: str
    entry: _Entry


def _read(source: Source) -> list[_Placed]:
    if not source.text.strip():
        return []
    document = read_document(source)
    try:
        entries = _ENTRIES.validate_json(json.dumps(document.data))
    except ValidationError as error:
        problems = [_problem(document, details) for details in error.errors()]
        raise ConfigurationError(problems) from None
    return [_Placed(_place(document, (at,)), entry) for at, entry in enumerate(entries)]


def read_document(source: Source) -> Document:
    """The entries as data. What is wrong with the text is told without quoting it: it is secret.

    Raises:
        ConfigurationError: the text is no YAML, or no JSON.
    """
    if source.is_yaml:
        document = parse(source.text, file=source.name, environment=None)
        if document.problems:
            raise ConfigurationError([_yaml_problem(problem) for problem in document.problems])
        return document
    try:
        return Document(source.name, read_json(source.text))
    except RepeatedMemberError as error:
        place = f"{source.name}{spell(_known_part(error.path))}"
        raise ConfigurationError([f"{place}: names a member twice"]) from None
    except ValueError:
        raise ConfigurationError([f"{source.name}: is not valid JSON"]) from None


def _yaml_problem(problem: Problem) -> str:
    path = problem.path[:-1] if problem.rule is Rule.YAML_DUPLICATE_KEY else problem.path
    place = _at_line(problem.file, problem.line, path)
    return f"{place}: {_SENTENCES[problem.rule]}"


def _place(document: Document, path: Path) -> str:
    """`API_KEYS[2].tier`, or `keys.yaml:7: [2].tier` where lines are known."""
    if not document.lines:
        return f"{document.file}{spell(_known_part(path))}"
    return _at_line(document.file, document.line(path), path)


def _at_line(file: str, line: int, path: Path) -> str:
    known = spell(_known_part(path))
    return f"{file}:{line}: {known}" if known else f"{file}:{line}"


def _known_part(path: Path) -> Path:
    """Names that are not ours may be secrets that slipped to the left of their colon."""
    return tuple(takewhile(_is_ours, path))


def _is_ours(part: str | int) -> bool:
    return isinstance(part, int) or part in _Entry.model_fields


def _problem(document: Document, details: ErrorDetails) -> str:
    """One line for one mistake: the place and the rule, never the value."""
    path = details["loc"]
    if details["type"] == "extra_forbidden":
        return f"{_place(document, path[:-1])}: has an unknown key; known are {_KNOWN}"
    place = _place(document, path)
    if details["type"] == "missing":
        return f"{place}: is required"
    sentence = details["msg"].removeprefix("Value error, ").replace("Input should", "should")
    return f"{place}: {sentence}"


def _tier_problems(entries: list[_Placed], tiers: Collection[str] | None) -> list[str]:
    if tiers is None:
        return []
    known = ", ".join(tiers)
    # The value is not quoted: it may be a key that stands in the wrong field.
    return [
        f"{placed.place}.tier: is no tier of the policy; known are {known}"
        for placed in entries
        if placed.entry.tier not in tiers
    ]


def _pepper_problems(entries: list[_Placed], peppers: Sequence[Pepper]) -> list[str]:
    known = {pepper.id for pepper in peppers}
    problems: list[str] = []
    for placed in entries:
        named = pepper_id(placed.entry.found_by(()))
        if named and named not in known:
            problems.append(
                f"{placed.place}.key_hmac: names the pepper {named},"
                " which AUTHZ_PEPPER_FILE does not hold"
            )
    return problems


def _duplicate_problems(entries: list[_Placed], peppers: Sequence[Pepper]) -> list[str]:
    problems: list[str] = []
    by_digest: dict[bytes, _Placed] = {}
    ids: dict[str, _Placed] = {}
    for placed in entries:
        own = placed.entry.digests(peppers)
        same = next((by_digest[each] for each in own if each in by_digest), placed)
        if same is not placed:
            problems.append(f"{placed.place}: the same key as {same.place}")
            continue
        by_digest |= dict.fromkeys(own, placed)
        same = ids.setdefault(placed.entry.key_id(), placed)
        if same is not placed:
            problems.append(f"{placed.place}.id: the same id as {same.place}")
    return problems
