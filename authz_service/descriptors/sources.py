"""Where descriptor text comes from: every file of a folder and of the folders in it."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from authz_service.core.descriptor_rules import DescriptorRules
from authz_service.core.descriptors import Algorithm
from authz_service.descriptors.compile import Compiled, compile_files
from authz_service.descriptors.keys import key_problems
from authz_service.descriptors.parts import FilePart, file_part
from authz_service.descriptors.problem import Problem, Rule
from authz_service.descriptors.values import Kind, NotYamlError, Value, read_yaml
from authz_service.errors import ConfigurationError

MAX_FILES = 1_000
MAX_FILE_BYTES = 1 << 20
MAX_FOLDER_BYTES = 8 << 20

_CONFIG_MAP_DATA = "..data"


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file by its id, `folder.name.yaml`, and its text."""

    id: str
    text: str


@dataclass(frozen=True, slots=True)
class Examined:
    """All that is known of a set of files. `further` are those with more than one document."""

    compiled: Compiled
    problems: tuple[Problem, ...]
    documents: dict[str, Value]
    further: tuple[str, ...]


def load_descriptors(
    folder: Path, *, merge_domains: bool = False, algorithm: Algorithm = Algorithm.EXACT
) -> DescriptorRules:
    """The rules in `folder`; see `compile_files` for the options.

    Raises:
        ConfigurationError: with every problem of every file.
    """
    return compile_sources(read_folder(folder), merge_domains=merge_domains, algorithm=algorithm)


def compile_sources(
    files: Iterable[SourceFile],
    *,
    merge_domains: bool = False,
    algorithm: Algorithm = Algorithm.EXACT,
) -> DescriptorRules:
    """The rules in texts that have been read.

    Raises:
        ConfigurationError: with every problem of every file.
    """
    examined = examine(files, merge_domains=merge_domains, algorithm=algorithm)
    if examined.problems:
        raise ConfigurationError([str(problem) for problem in examined.problems])
    return examined.compiled.rules


def examine(files: Iterable[SourceFile], *, merge_domains: bool, algorithm: Algorithm) -> Examined:
    """Compile as much as can be, and tell the problems in reading order."""
    parts: list[FilePart] = []
    problems: list[Problem] = []
    documents: dict[str, Value] = {}
    further: list[str] = []
    for file in files:
        try:
            value, goes_on = read_yaml(file.text)
        except NotYamlError as error:
            problems.append(_not_loaded(file.id, error.line, str(error)))
            continue
        if value.kind not in {Kind.MAP, Kind.NULL}:
            reason = f"cannot unmarshal {value.kind} into map[string]interface {{}}"
            error_text = f"yaml: line {value.line}: {reason}"
            problems.append(_not_loaded(file.id, value.line, error_text))
            continue
        part, mismatches = file_part(file.id, value)
        problems += [*key_problems(file.id, value), *mismatches]
        parts.append(part)
        documents[file.id] = value
        further += [file.id] if goes_on else []
    compiled = compile_files(parts, merge_domains=merge_domains, algorithm=algorithm)
    problems = sorted([*problems, *compiled.problems], key=lambda it: (it.file, it.line))
    return Examined(compiled, tuple(problems), documents, tuple(further))


def _not_loaded(file: str, line: int, reason: str) -> Problem:
    return Problem(Rule.LOADING, file, line, f"error loading config file: {reason}")


def read_folder(folder: Path) -> list[SourceFile]:
    """Every file, by id. Names that begin with a dot are passed over, whole folders too.

    Links are followed once, at the beginning: what replaces a folder while it is read plays no
    part. The files of a ConfigMap are links into its hidden `..data`, which is replaced as a whole.

    Raises:
        ConfigurationError: naming all that cannot be read.
    """
    files: list[SourceFile] = []
    problems: list[str] = []
    try:
        found = sorted(_files(folder.resolve()))
    except OSError as error:
        raise ConfigurationError([f"{folder}: cannot be read: {error.strerror}"]) from error
    except RuntimeError:  # links that lead in a circle, before Python 3.13
        raise ConfigurationError([f"{folder}: cannot be read: links in a circle"]) from None
    if len(found) > MAX_FILES:
        raise ConfigurationError([f"{folder}: holds more than {MAX_FILES} files"])
    room = MAX_FOLDER_BYTES
    for name, path in found:
        try:
            data = _read(path)
            room -= len(data)
            # Bytes that are no UTF-8 become a character YAML forbids, and are reported as such.
            files.append(SourceFile(name, data.decode("utf-8", errors="surrogateescape")))
        except OSError as error:
            problems.append(f"{name}: cannot be read: {error.strerror}")
        except ValueError as error:
            problems.append(f"{name}: {error}")
        if room < 0:
            problems.append(f"{folder}: holds more than {MAX_FOLDER_BYTES} bytes")
            break
    if problems:
        raise ConfigurationError(problems)
    return files


def watched_paths(folder: Path) -> tuple[Path, ...]:
    """What to look at to notice a change: every file, and the folders that may get more of them."""
    try:
        paths = [path for _, path in _entries(folder.resolve())]
    except (OSError, RuntimeError):
        return (folder,)
    return (folder, *sorted({*paths, *(path.parent for path in paths)}))


def hidden_names(folder: Path) -> list[str]:
    """The names in `folder` itself that are passed over, but for what a ConfigMap has of them."""
    return sorted(
        entry.name
        for entry in folder.iterdir()
        if entry.name.startswith(".") and not entry.name.startswith("..")
    )


def _files(root: Path) -> Iterator[tuple[str, Path]]:
    """Ids and paths of what is no folder."""
    return ((name, path) for name, path in _entries(root) if not path.is_dir())


def _entries(root: Path) -> Iterator[tuple[str, Path]]:
    """Ids and paths, where no link in a path stands for another folder a moment later."""
    data = root / _CONFIG_MAP_DATA
    resolved = data.resolve() if data.is_dir() else None
    yield from _inside(root, (), resolved, frozenset())


def _inside(
    folder: Path, names: tuple[str, ...], data: Path | None, around: frozenset[Path]
) -> Iterator[tuple[str, Path]]:
    here = folder.resolve()
    if here in around:
        return  # a link to a folder around itself
    for entry in folder.iterdir():
        if entry.name.startswith("."):
            continue
        path = _through(entry, data)
        inner = (*names, entry.name.encode("utf-8", "backslashreplace").decode())
        yield ".".join(inner), path
        if path.is_dir():
            yield from _inside(path, inner, data, around | {here})


def _through(entry: Path, data: Path | None) -> Path:
    """Where an entry of a ConfigMap lies now; any other entry is what it is."""
    if data and entry.is_symlink():
        first, *rest = entry.readlink().parts or ("",)
        if first == _CONFIG_MAP_DATA:
            return data.joinpath(*rest)
    return entry


def _read(file: Path) -> bytes:
    """The content of a regular file: a pipe would have us wait.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no file of a size that we read. The message says so.
    """
    if not file.is_file():
        os.stat(file)  # noqa: PTH116 - tells a link that leads nowhere
        raise ValueError("is no regular file")
    with file.open("rb") as opened:
        data = opened.read(MAX_FILE_BYTES + 1)
    if len(data) > MAX_FILE_BYTES:
        raise ValueError(f"holds more than {MAX_FILE_BYTES} bytes")
    return data
