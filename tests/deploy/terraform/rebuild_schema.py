"""Rebuild `google.json.gz`, the schema of the stand-in provider, from prebuilt CDK bindings.

Terraform's own download of the provider is not needed for it. The bindings on PyPI are generated
from the provider's schema and keep all of it that Terraform judges by: for each argument a comment
says whether it is required, optional or computed, and the code around it has the type.

    pip download --no-deps cdktn-provider-google==21.1.0
    python -m tests.deploy.terraform.rebuild_schema cdktn_provider_google-21.1.0-py3-none-any.whl

Only resources that the modules use are kept, and of descriptions only the values that they allow.
"""

import io
import re
import sys
import tarfile
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from tests.deploy.terraform.schema import resources_in_use, write_schema

_MEMBER: Final = re.compile(
    r"^\s*// (?P<name>[a-z0-9_]+) - computed: (?P<computed>\w+), "
    r"optional: (?P<optional>\w+), required: (?P<required>\w+)\n"
    r"(?P<code>(?:(?!\s*// [a-z0-9_]+ - computed:).*\n){1,12})",
    re.MULTILINE,
)
_NESTED: Final = re.compile(r'_\w+ = new ([\w.]+)\(this, "[a-z0-9_]+"(?:, (true|false))?\)')
_WRITTEN: Final = re.compile(
    r"^ {8,12}(?P<name>[a-z0-9_]+): \{\n\s+value: .*,\n\s+isBlock: (?P<block>true|false),\n"
    r'\s+type: "(?P<kind>\w+)",\n\s+storageClassType: "(?P<type>\w+)"',
    re.MULTILINE,
)
_CLASS: Final = re.compile(r"^class (\w+) extends cdktn\.\w+ \{\n.*?^\}", re.MULTILINE | re.DOTALL)
_WRITER: Final = re.compile(
    r"^function (\w+)ToHclTerraform\(struct\) \{\n.*?^\}", re.MULTILINE | re.DOTALL
)
_INTERFACE: Final = re.compile(r"^export interface (\w+).*?\{\n(.*?)^\}", re.MULTILINE | re.DOTALL)
_DOCUMENTED: Final = re.compile(r"/\*\*\n(.*?)\*/\n\s+readonly (\w+)\??:", re.DOTALL)
_ANCHOR: Final = re.compile(r"#([a-z0-9_]+) ")
_VALUES: Final = re.compile(r"Possible values: \[([^\]]*)\]|Supported values include: ([^.]*)\.")

_GETTERS: Final[Mapping[str, Any]] = {
    "getStringAttribute": "string",
    "getNumberAttribute": "number",
    "getBooleanAttribute": "bool",
    "getNumberListAttribute": ["list", "number"],
    "getStringMapAttribute": ["map", "string"],
}
_MAPS: Final[Mapping[str, Any]] = {
    "cdktn.StringMap": ["map", "string"],
    "cdktn.BooleanMap": ["map", "bool"],
    "cdktn.NumberMap": ["map", "number"],
}
_STORED: Final = {"string": "string", "number": "number", "boolean": "bool"}


@dataclass(frozen=True, slots=True)
class Bindings:
    """The code of one resource, taken apart: classes, writers of HCL, allowed values."""

    classes: Mapping[str, str]
    writers: Mapping[str, str]
    values: Mapping[str, Mapping[str, list[str]]]

    @classmethod
    def read(cls, code: str, types: str) -> Self:
        """Take apart JavaScript and its type declarations."""
        plain = re.sub(r"\b(?:index_\d+|structs\d+_\d+)\.", "", code)
        return cls(
            classes={match[1]: match[0] for match in _CLASS.finditer(plain)},
            writers={match[1]: match[0] for match in _WRITER.finditer(plain)},
            values={match[1]: dict(_values(match[2])) for match in _INTERFACE.finditer(types)},
        )

    def resource(self) -> tuple[str, dict[str, Any]]:
        """The resource's name in Terraform, and its schema."""
        for name, body in self.classes.items():
            kind = re.search(r'static tfResourceType = "(\w+)"', body)
            if kind:
                return kind[1], self._block(body, writer=body, values=f"{name}Config")
        raise ValueError("there is no resource in these bindings")

    def _block(self, body: str, *, writer: str, values: str) -> dict[str, Any]:
        written = {match["name"]: match for match in _WRITTEN.finditer(writer)}
        attributes: dict[str, Any] = {}
        blocks: dict[str, Any] = {}
        for member in _MEMBER.finditer(body):
            name, how = member["name"], written.get(member["name"])
            nested = _NESTED.search(member["code"])
            if nested and nested[1] not in _MAPS:
                inner = self._inner(nested[1])
                if how is not None and how["block"] == "true":
                    blocks[name] = _as_block(inner, member, nested[1], how["kind"])
                    continue
                kind: Any = _as_type(inner, is_set=nested[2] == "true")
            else:
                kind = _MAPS[nested[1]] if nested else _scalar(member["code"], how)
            flags = {
                it: True for it in ("required", "optional", "computed") if member[it] == "true"
            }
            attributes[name] = {"type": kind, **flags}
            if name in self.values.get(values, {}):
                attributes[name]["values"] = self.values[values][name]
        return {"attributes": attributes, "blocks": blocks}

    def _inner(self, name: str) -> dict[str, Any]:
        struct = re.sub(r"(OutputReference|List)$", "", name)
        writer = self.writers.get(struct[0].lower() + struct[1:], "")
        return self._block(self.classes[f"{struct}OutputReference"], writer=writer, values=struct)


def _as_block(inner: dict[str, Any], member: re.Match[str], name: str, kind: str) -> dict[str, Any]:
    if member["name"] == "timeouts":
        return {"nesting": "single", "block": inner}
    block: dict[str, Any] = {"nesting": "set" if kind == "set" else "list", "block": inner}
    if member["required"] == "true":
        block["min"] = 1
    if name.endswith("OutputReference"):
        block["max"] = 1
    return block


def _as_type(inner: dict[str, Any], *, is_set: bool) -> list[Any]:
    fields = {name: it["type"] for name, it in inner["attributes"].items()}
    return ["set" if is_set else "list", ["object", fields]]


def _scalar(code: str, written: re.Match[str] | None) -> Any:  # noqa: ANN401 - a type is JSON
    for getter, kind in _GETTERS.items():
        if f"{getter}(" in code:
            return kind
    if "getListAttribute(" in code:
        return ["set" if "Fn.tolist" in code else "list", "string"]
    if written is not None:
        return _STORED[written["type"]]  # write-only: nothing gets it
    raise ValueError(f"no type can be told from {code!r}")


def _values(interface: str) -> Iterator[tuple[str, list[str]]]:
    for text, name in _DOCUMENTED.findall(interface):
        anchor, allowed = _ANCHOR.search(text), _VALUES.search(text)
        if allowed:
            quoted = re.findall(r'"([^"]*)"', allowed[1] or allowed[2])
            yield (anchor[1] if anchor else name), quoted


def read_wheel(wheel: Path) -> dict[str, Any]:
    """The schemas of the resources that the modules use."""
    with zipfile.ZipFile(wheel) as files:
        (bundle,) = [name for name in files.namelist() if name.endswith(".jsii.tgz")]
        packed = files.read(bundle)
    folders = {name.removeprefix("google_").replace("_", "-"): "" for name in resources_in_use()}
    code, types = dict(folders), dict(folders)
    with tarfile.open(fileobj=io.BytesIO(packed)) as library:
        for member in sorted(library, key=lambda it: it.name):
            path = Path(member.name).parts  # package/lib/RESOURCE[/index-structs]/FILE
            content = library.extractfile(member)
            if content is None or len(path) < 4 or path[2] not in folders:
                continue
            if path[-1].endswith(".d.ts"):
                types[path[2]] += content.read().decode() + "\n"
            elif path[-1].endswith(".js"):
                code[path[2]] += content.read().decode() + "\n"
    return dict(Bindings.read(code[it], types[it]).resource() for it in folders)


if __name__ == "__main__":
    write_schema(read_wheel(Path(sys.argv[1])))
