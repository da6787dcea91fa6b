"""`authz_service keys`: manage the keys of AUTHZ_KEYS_URL.

A secret is the only thing that `create` and `reroll` write to standard output, so that
`KEY=$(authz_service keys create ...)` works; everything said about it goes to standard error.
"""

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable, Collection, Mapping
from pathlib import Path
from typing import Final

from authz_service import key_service
from authz_service.clock import SystemClock
from authz_service.commands.command_line import Commands, actor
from authz_service.commands.exit_codes import DONE
from authz_service.commands.key_table import in_colour, key_lines, key_table, plain
from authz_service.errors import ConfigurationError
from authz_service.identity.api_keys import Source, read_document
from authz_service.identity.key_admin import IssuedKey, KeyAdmin
from authz_service.identity.key_fields import KeyFieldsError
from authz_service.identity.key_store import StoredKey
from authz_service.identity.key_view import shown_key, shown_view
from authz_service.identity.moments import spell_moment
from authz_service.observe.logging import configure_logging
from authz_service.policy.sources import load_policy

_Command = Callable[[KeyAdmin, argparse.Namespace], Awaitable[None]]

_STANDARD_INPUT: Final = "-"
_DESCRIPTION: Final = """\
Manage the API keys of the key store. Every worker learns of a change within a second.

Environment:
  AUTHZ_KEYS_URL     where the keys are kept, as redis://HOST:PORT; required
  AUTHZ_PEPPER_FILE  what the stored digests are mixed with, the same as the service's
  AUTHZ_POLICY_FILE  set: tiers are checked against this policy
"""
_EPILOG: Final = """\
Every change writes one line to standard error: who changed which key, and how.
Exit codes: 0 done; 1 could not: no such key, the store is away; 2 the call or a field is wrong.
"""
_TIMES: Final = "a moment as 2027-01-31T00:00:00Z, or from now as 30d (s, m, h, d, w)"
# How the fields are called where they are flags.
_FLAGS: Final = {"scopes": "--scope", "expires_at": "--expires", "networks": "--network"}


def add(commands: Commands) -> None:
    """Put `keys` and its own commands into the menu."""
    command = commands.add_parser(
        "keys",
        help="manage the API keys of the key store",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    own = command.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _add_create(own)
    _add_list(own)
    _add_show(own)
    _add_switch(own)
    _add_reroll(own)
    _add_delete(own)
    _add_import(own)


def _add(
    commands: Commands, name: str, run: _Command, *, help_: str, example: str
) -> argparse.ArgumentParser:
    command = commands.add_parser(
        name,
        help=help_,
        description=f"{help_[0].upper()}{help_[1:]}.",
        epilog=f"Example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("--json", action="store_true", help="print the result as JSON")
    command.set_defaults(run=lambda parsed: _run(run, parsed))
    return command


def _add_create(commands: Commands) -> None:
    command = _add(
        commands,
        "create",
        _create,
        help_="make a key and print it, once",
        example='KEY=$(authz_service keys create --name "The web shop" --tier pro --expires 90d)',
    )
    command.add_argument("--name", required=True, help="for people; up to 128 characters")
    command.add_argument("--tier", required=True, help="what the key may use")
    command.add_argument("--id", help="in logs, headers and these commands; unset: a random one")
    command.add_argument("--subject", help="who is counted; unset: the id, so the key alone")
    command.add_argument("--scope", action="append", help="what the key may do; repeatable")
    command.add_argument("--expires", metavar="WHEN", help=_TIMES)
    command.add_argument("--rate", help="in place of the tier's, as 100/minute")
    command.add_argument("--quota", help="in place of the tier's, as 5000/day")
    command.add_argument(
        "--network", action="append", help="where it may be used from, as 192.0.2.0/24; repeatable"
    )
    _add_environment(command)


def _add_environment(command: argparse.ArgumentParser) -> None:
    command.add_argument("--environment", help="the word after sk_ in the key (live)")


def _add_list(commands: Commands) -> None:
    _add(commands, "list", _list, help_="list the keys", example="authz_service keys list")


def _add_show(commands: Commands) -> None:
    command = _add(
        commands,
        "show",
        _show,
        help_="show all of one key but its secret",
        example="authz_service keys show key_8f3k2m9q4x",
    )
    _add_id(command)


def _add_switch(commands: Commands) -> None:
    for name, run, help_ in (
        ("disable", _disable, "have a key refused until it is enabled"),
        ("enable", _enable, "have a disabled key accepted again"),
    ):
        example = f"authz_service keys {name} key_8f3k2m9q4x"
        _add_id(_add(commands, name, run, help_=help_, example=example))


def _add_reroll(commands: Commands) -> None:
    command = _add(
        commands,
        "reroll",
        _reroll,
        help_="replace a key by a new one and print that, once; both count as one subject",
        example="KEY=$(authz_service keys reroll key_8f3k2m9q4x --overlap 24h)",
    )
    _add_id(command)
    command.add_argument(
        "--overlap",
        required=True,
        metavar="SPAN",
        help="how long the old key goes on, as 24h; 0s where it leaked; never past its own end",
    )
    command.add_argument(
        "--expires", metavar="WHEN", help=f"of the new key: never, {_TIMES}; unset: as the old one"
    )
    _add_environment(command)


def _add_delete(commands: Commands) -> None:
    command = _add(
        commands,
        "delete",
        _delete,
        help_="forget a key; nothing brings it back, so prefer disable",
        example="authz_service keys delete key_8f3k2m9q4x --yes",
    )
    _add_id(command)
    command.add_argument("--yes", action="store_true", help="required: nothing is asked")


def _add_import(commands: Commands) -> None:
    command = _add(
        commands,
        "import",
        _import,
        help_="take over keys by their digests from a key file, all or none",
        example="authz_service keys import keys.yaml",
    )
    command.add_argument("file", help="YAML or JSON, a list of entries; - for standard input")


def _add_id(command: argparse.ArgumentParser) -> None:
    command.add_argument("id", help="the id of the key, as list shows it")


def _run(command: _Command, parsed: argparse.Namespace) -> int:
    url = os.environ.get("AUTHZ_KEYS_URL")
    if not url:
        raise ConfigurationError(
            ["AUTHZ_KEYS_URL: is required: where the keys are kept, as redis://HOST:PORT"]
        )
    configure_logging(debug=False, stream=sys.stderr)
    asyncio.run(_with_store(command, parsed, url))
    return DONE


async def _with_store(command: _Command, parsed: argparse.Namespace, url: str) -> None:
    store = key_service.open_key_store(url)
    pepper_file = os.environ.get("AUTHZ_PEPPER_FILE")
    keys = key_service.key_admin(
        store,
        pepper_file=Path(pepper_file) if pepper_file else None,
        actor=actor(),
        tiers=_tiers,
    )
    try:
        await command(keys, parsed)
    finally:
        await store.close()


def _tiers() -> Collection[str] | None:
    file = os.environ.get("AUTHZ_POLICY_FILE")
    if not file:
        _say("AUTHZ_POLICY_FILE is not set: nobody has checked that the policy has the tier.")
        return None
    return load_policy(Path(file), os.environ).tiers


async def _create(keys: KeyAdmin, parsed: argparse.Namespace) -> None:
    given = _given(
        name=parsed.name,
        tier=parsed.tier,
        id=parsed.id,
        subject=parsed.subject,
        scopes=parsed.scope,
        expires_at=parsed.expires,
        rate=parsed.rate,
        quota=parsed.quota,
        networks=parsed.network,
        environment=parsed.environment,
    )
    issued = await _with_flags(keys.create(given))
    _print_issued(issued, parsed)


async def _list(keys: KeyAdmin, parsed: argparse.Namespace) -> None:
    views = await keys.every()
    now_ms = SystemClock().now_ms()
    if parsed.json:
        _print_json({"keys": [shown_view(view, now_ms) for view in views]})
        return
    paint = in_colour if sys.stdout.isatty() else plain
    for line in key_table(views, now_ms, paint):
        print(line)


async def _show(keys: KeyAdmin, parsed: argparse.Namespace) -> None:
    view = await keys.show(parsed.id)
    now_ms = SystemClock().now_ms()
    if parsed.json:
        _print_json({"key": shown_view(view, now_ms)})
        return
    for line in key_lines(view, now_ms):
        print(line)


async def _disable(keys: KeyAdmin, parsed: argparse.Namespace) -> None:
    _print_changed(await keys.disable(parsed.id), "is disabled", parsed)


async def _enable(keys: KeyAdmin, parsed: argparse.Namespace) -> None:
    _print_changed(await keys.enable(parsed.id), "is enabled", parsed)


async def _reroll(keys: KeyAdmin, parsed: argparse.Namespace) -> None:
    given = _given(
        overlap=parsed.overlap, expires_at=parsed.expires, environment=parsed.environment
    )
    if parsed.expires == "never":
        given["expires_at"] = None
    issued = await _with_flags(keys.reroll(parsed.id, given))
    _print_issued(issued, parsed)


async def _delete(keys: KeyAdmin, parsed: argparse.Namespace) -> None:
    if not parsed.yes:
        raise ConfigurationError(
            ["--yes: is required: nothing brings a deleted key back, and disable can be undone"]
        )
    _print_changed(await keys.delete(parsed.id), "is deleted", parsed)


async def _import(keys: KeyAdmin, parsed: argparse.Namespace) -> None:
    document = read_document(_source(parsed.file))
    try:
        imported = await keys.take_over(document.data)
    except KeyFieldsError as error:
        places = [f"{document.file}:{document.line(it.path)}: {it}" for it in error.fields]
        raise ConfigurationError(places) from None
    if parsed.json:
        _print_json(
            {
                "imported": [key.id for key in imported.new],
                "unchanged": [key.id for key in imported.unchanged],
            }
        )
    else:
        print(f"{len(imported.new)} imported, {len(imported.unchanged)} unchanged.")


def _source(file: str) -> Source:
    try:
        content = sys.stdin.buffer.read() if file == _STANDARD_INPUT else Path(file).read_bytes()
    except OSError as error:
        raise ConfigurationError([f"{file}: cannot be read: {error.strerror}"]) from error
    return Source(file, content.decode("utf-8", errors="surrogateescape"), is_yaml=True)


def _given(**fields: object) -> dict[str, object]:
    """The fields that were given."""
    return {name: value for name, value in fields.items() if value is not None}


async def _with_flags(call: Awaitable[IssuedKey]) -> IssuedKey:
    """A call whose wrong fields are told by the flags they came from."""
    try:
        return await call
    except KeyFieldsError as error:
        raise ConfigurationError(
            [f"{_flag(str(it.path[0]))}: {it.message}" for it in error.fields]
        ) from None


def _flag(field: str) -> str:
    return _FLAGS.get(field, f"--{field}")


def _print_issued(issued: IssuedKey, parsed: argparse.Namespace) -> None:
    now_ms = SystemClock().now_ms()
    if parsed.json:
        replaced = (
            {"replaced": shown_key(issued.replaced, now_ms)} if issued.replaced is not None else {}
        )
        _print_json({"key": shown_key(issued.key, now_ms), "secret": issued.secret, **replaced})
        return
    print(issued.secret, flush=True)
    if issued.replaced is not None:
        _say(f"{issued.replaced.id} is replaced; it {_end(issued.replaced)}.")
    _say(f"{issued.key.id} is the id of this key; it {_end(issued.key)}.")
    _say("The key is shown this once and never again.")


def _end(key: StoredKey) -> str:
    if key.expires_at_ms is None:
        return "does not expire"
    return f"ends at {spell_moment(key.expires_at_ms)}"


def _print_changed(key: StoredKey, sentence: str, parsed: argparse.Namespace) -> None:
    if parsed.json:
        _print_json({"key": shown_key(key, SystemClock().now_ms())})
    else:
        print(f"{key.id} {sentence}.")


def _print_json(result: Mapping[str, object]) -> None:
    print(json.dumps(result, indent=2))


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr)
