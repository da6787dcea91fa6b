"""Descriptors on a command line: `--domain shop --descriptor plan=free,path=/`."""

import argparse

from authz_service.core.descriptors import Descriptor, Entry


def add_descriptors(command: argparse.ArgumentParser) -> None:
    """Give a command a `domain` and a list `descriptor` of at least one."""
    command.add_argument("--domain", required=True, help="the domain of the descriptors")
    command.add_argument(
        "--descriptor",
        action="append",
        required=True,
        type=_descriptor,
        metavar="KEY=VALUE[,KEY=VALUE...]",
        help="a descriptor; may be given several times",
    )


def in_words(descriptor: Descriptor) -> str:
    """A descriptor as it is given."""
    return ",".join(f"{entry.key}={entry.value}" for entry in descriptor.entries)


def _descriptor(text: str) -> Descriptor:
    return Descriptor(entries=tuple(map(_entry, text.split(","))))


def _entry(text: str) -> Entry:
    key, equals, value = text.partition("=")
    if not (key and equals):
        raise argparse.ArgumentTypeError(f"{text!r} is not KEY=VALUE")
    return Entry(key, value)
