"""Where policy text comes from: a file, and the fragments it includes."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from authz_service.core.rules import Policy
from authz_service.errors import ConfigurationError
from authz_service.policy.compile import compile_policy
from authz_service.policy.merge import Merged
from authz_service.policy.parse import Document, parse
from authz_service.policy.problem import Rule
from authz_service.policy.providers import FILE_KEYS


def load_policy(file: Path, environment: Mapping[str, str]) -> Policy:
    """The policy in `file`. `environment` fills its `${NAME}` values.

    Raises:
        ConfigurationError: with every problem of the file and its fragments.
    """
    try:
        main = parse(_read(file), file=str(file), environment=environment)
    except OSError as error:
        raise ConfigurationError([f"{file}: cannot be read: {error.strerror}"]) from error
    fragments = list(_fragments(main, file.parent, environment))
    return compile_policy(Merged(main, fragments))


def policy_files(file: Path, environment: Mapping[str, str]) -> tuple[Path, ...]:
    """The file and those it names, of fragments and keys, whether they can be read or not."""
    try:
        main = parse(_read(file), file=str(file), environment=environment)
    except OSError:
        return (file,)
    names = main.value(("include",))
    included = names if isinstance(names, list) else []
    named = (*included, *_key_files(main))
    return (file, *(file.parent / name for name in named if isinstance(name, str)))


def _key_files(main: Document) -> Iterator[object]:
    providers = main.value(("jwt",))
    for place in range(len(providers) if isinstance(providers, list) else 0):
        yield from (main.value(("jwt", place, key)) for key in FILE_KEYS)


def _fragments(main: Document, folder: Path, environment: Mapping[str, str]) -> Iterator[Document]:
    names = main.value(("include",))
    for place, name in enumerate(names if isinstance(names, list) else []):
        if not isinstance(name, str):
            continue  # the schema will say so
        try:
            text = _read(folder / name)
        except OSError as error:
            _report(main, place, f"cannot be read: {error.strerror}")
        except ValueError:  # a NUL or a lone surrogate
            _report(main, place, "is no file name")
        else:
            yield parse(text, file=str(folder / name), environment=environment)


def _report(main: Document, place: int, message: str) -> None:
    path = ("include", place)
    shown = main.variable(path) or repr(main.value(path))
    main.report(Rule.INCLUDE, path, f"{shown} {message}")


def _read(file: Path) -> str:
    # Bytes that are no UTF-8 become a character YAML forbids, and are reported as such.
    return file.read_bytes().decode("utf-8", errors="surrogateescape")
