"""What must hold for every source file: size, imports, generated code, lock file, wording."""

import ast
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from authz_service.core.verdict import Reason

ROOT = Path(__file__).parents[2]
GENERATED = ROOT / "authz_service" / "wire" / "pb"
SOURCES = sorted(
    file
    for package in ("authz_service", "image_service")
    for file in (ROOT / package).rglob("*.py")
    if not file.is_relative_to(GENERATED)
)
TESTS = sorted((ROOT / "tests").rglob("test_*.py"))
MAX_FUNCTION_LINES = 60
MAX_MODULE_LINES = 400
Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions(file: Path) -> Iterator[Function]:
    """Every function and method of a file."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, Function):
            yield node


def body_lines(function: Function) -> int:
    """The lines from the first statement to the last; the docstring does not count."""
    first = function.body[1:] if ast.get_docstring(function) else function.body
    return (first[-1].end_lineno or 0) - first[0].lineno + 1 if first else 0


def relative(file: Path) -> str:
    """A file's name in this repository."""
    return str(file.relative_to(ROOT))


def test_no_function_is_too_long() -> None:
    """A function that does not fit on a screen hides something."""
    assert [
        f"{relative(file)}:{function.name}"
        for file in SOURCES
        for function in functions(file)
        if body_lines(function) > MAX_FUNCTION_LINES
    ] == []


def test_no_module_is_too_long() -> None:
    """A module that is too long holds more than one idea."""
    assert [
        relative(file)
        for file in SOURCES
        if sum(bool(line.strip()) for line in file.read_text().splitlines()) > MAX_MODULE_LINES
    ] == []


def test_every_test_says_the_fact_it_proves() -> None:
    """Every test function has a docstring: one sentence."""
    silent = [
        f"{relative(file)}:{function.name}"
        for file in TESTS
        for function in functions(file)
        if function.name.startswith("test_") and not one_sentence(ast.get_docstring(function))
    ]
    assert silent == []


def one_sentence(text: str | None) -> bool:
    """Whether a text is one line that ends like a sentence."""
    return bool(text) and "\n\n" not in str(text) and str(text).endswith(".")


def test_every_reason_is_tested() -> None:
    """Each reason for an answer is named by a test of the decision core."""
    text = "".join(file.read_text() for file in (ROOT / "tests" / "unit" / "core").glob("*.py"))
    assert [reason.name for reason in Reason if f"Reason.{reason.name}" not in text] == []


def test_no_module_does_work_when_imported() -> None:
    """Every module imports with an empty environment, without threads, tasks or sockets."""
    names = [relative(file).removesuffix(".py").replace("/", ".") for file in SOURCES]
    modules = [name.removesuffix(".__init__") for name in names if not name.endswith("__main__")]
    script = (
        "import importlib, socket, sys, threading\n"
        "def refuse(*_, **__): raise RuntimeError('a socket while importing')\n"
        "socket.socket.connect = socket.socket.bind = refuse\n"
        "for name in sys.argv[1:]: importlib.import_module(name)\n"
        "assert threading.active_count() == 1, threading.enumerate()\n"
    )
    found = subprocess.run(
        [sys.executable, "-W", "error", "-c", script, *modules],
        cwd=ROOT,
        env={},
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )
    assert (found.returncode, found.stdout, found.stderr) == (0, "", "")


def test_generated_code_is_what_the_protos_compile_to(tmp_path: Path) -> None:
    """The committed code is byte for byte what `make protos` writes."""
    protos = sorted((ROOT / "protos" / "authz_service" / "wire" / "pb").glob("*.proto"))
    subprocess.run(
        [
            *(sys.executable, "-m", "grpc_tools.protoc", "-I", str(ROOT / "protos")),
            *(f"--{kind}_out={tmp_path}" for kind in ("python", "pyi", "grpc_python")),
            *map(str, protos),
        ],
        check=True,
        timeout=50,
    )
    fresh = {file.name: file.read_bytes() for file in tmp_path.rglob("*.py*")}
    committed = {file.name: file.read_bytes() for file in GENERATED.glob("*_pb2*.py*")}
    assert fresh == committed
    assert len(fresh) == 3 * len(protos)


@pytest.mark.parametrize("lock", sorted(ROOT.glob("*.lock")), ids=lambda it: it.name)
def test_every_locked_dependency_has_hashes_and_no_address(lock: Path) -> None:
    """The lock files pin exact versions by hash, and say nothing of where they come from."""
    text = lock.read_text()
    pins = re.split(r"\n(?=\S)", text.strip())
    for pin in pins:
        assert re.match(r"[a-z0-9._-]+(\[[a-z,]+\])?==\S+", pin), pin
        assert "--hash=sha256:" in pin, pin
    assert "://" not in text
    assert "--index" not in text


def test_the_test_run_is_hostile() -> None:
    """Warnings are errors, markers are strict, no test hangs."""
    configured = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
    pytest_options = configured["pytest"]["ini_options"]
    assert pytest_options["filterwarnings"] == ["error"]
    assert pytest_options["xfail_strict"] is True
    assert pytest_options["timeout"] <= 60
    assert {"--strict-markers", "--strict-config"} <= set(pytest_options["addopts"])
    assert configured["mypy"]["strict"] is True
    assert configured["ruff"]["lint"]["select"] == ["ALL"]


# Split, so that this file does not match itself.
FOREIGN = re.compile("|".join(["/wo" + "rk/", "/tm" + r"p/[a-z]+/", "shared/" + "design"]))


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="needs the list of our own files")
def test_no_file_speaks_of_the_machine_it_was_written_on() -> None:
    """Paths of somebody's machine have no place in the repository."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=True,
        timeout=10,
    )
    guilty = [
        name
        for name in listed.stdout.split("\0")
        if name
        and (ROOT / name).is_file()
        and FOREIGN.search((ROOT / name).read_text(errors="replace"))
    ]
    assert guilty == []
