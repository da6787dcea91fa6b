"""Form fields → what to do with the image. Every problem is found before any is reported."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from image_service.core.bounds import SCALES, ImageFacts, largest_scale
from image_service.core.formats import ImageFormat

FIELDS = ("scale", "format", "quality", "metadata")
MAX_FIELD_BYTES = 64
DEFAULT_SCALE = 2
DEFAULT_QUALITY = 90

_QUALITY = re.compile(r"[1-9][0-9]?|100")
_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True)
class FieldProblem:
    """One thing wrong with one field of the form."""

    field: str
    message: str
    type: str = "value_error"


class FieldsRefusedError(Exception):
    """The form cannot be acted on. Holds every problem found."""

    def __init__(self, problems: Sequence[FieldProblem]) -> None:
        super().__init__("; ".join(f"{problem.field}: {problem.message}" for problem in problems))
        self.problems = tuple(problems)


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the client asked for; None where it left the choice to us."""

    scale: int = DEFAULT_SCALE
    format: ImageFormat | None = None
    quality: int | None = None
    keep_metadata: bool = False


@dataclass(frozen=True, slots=True)
class TransformSpec:
    """What will be done: nothing left open."""

    scale: int
    format: ImageFormat
    quality: int
    keep_metadata: bool = False


def parse_fields(
    fields: Mapping[str, str], *, known_problems: Sequence[FieldProblem] = ()
) -> Wishes:
    """Read the optional fields of the form.

    Raises:
        FieldsRefusedError: a value is not allowed, or there were `known_problems` already.
    """
    problems = list(known_problems)

    def read(name: str, parse: Callable[[str], _Value], default: _Value) -> _Value:
        if name not in fields:
            return default
        try:
            return parse(fields[name])
        except ValueError as error:
            problems.append(FieldProblem(name, str(error)))
            return default

    wishes = Wishes(
        scale=read("scale", _scale, DEFAULT_SCALE),
        format=read("format", _format, None),
        quality=read("quality", _quality, None),
        keep_metadata=read("metadata", _keep, default=False),
    )
    if problems:
        raise FieldsRefusedError(problems)
    return wishes


def _scale(text: str) -> int:
    for scale in SCALES:
        if text == str(scale):
            return scale
    raise ValueError("must be 2 or 4")


def _format(text: str) -> ImageFormat | None:
    try:
        return ImageFormat(text)
    except ValueError:
        raise ValueError("must be jpeg, png, webp or gif") from None


def _quality(text: str) -> int | None:
    # `int` alone would take signs, spaces, underscores and digits of other scripts.
    if _QUALITY.fullmatch(text) is None:
        raise ValueError("must be a whole number from 1 to 100")
    return int(text)


def _keep(text: str) -> bool:
    if text not in {"strip", "keep"}:
        raise ValueError("must be strip or keep")
    return text == "keep"


def resolve(wishes: Wishes, facts: ImageFacts) -> TransformSpec:
    """Fill what the client left open from the image itself.

    Raises:
        FieldsRefusedError: the result would be too large, or a wish does not apply to it.
    """
    target = wishes.format or facts.format
    problems = [
        *_size_problems(wishes, facts, target),
        *_quality_problems(wishes, target),
        *_metadata_problems(wishes, target),
    ]
    if problems:
        raise FieldsRefusedError(problems)
    return TransformSpec(
        scale=wishes.scale,
        format=target,
        quality=wishes.quality or DEFAULT_QUALITY,
        keep_metadata=wishes.keep_metadata,
    )


def _size_problems(
    wishes: Wishes, facts: ImageFacts, target: ImageFormat
) -> Sequence[FieldProblem]:
    largest = largest_scale(facts, target)
    if wishes.scale <= largest:
        return ()
    return (
        FieldProblem(
            "scale",
            f"the output would be too large; the largest scale allowed for this image is {largest}",
        ),
    )


def _quality_problems(wishes: Wishes, target: ImageFormat) -> Sequence[FieldProblem]:
    if wishes.quality is None or target.takes_quality:
        return ()
    return (FieldProblem("quality", "applies to jpeg and webp output only"),)


def _metadata_problems(wishes: Wishes, target: ImageFormat) -> Sequence[FieldProblem]:
    if not wishes.keep_metadata or target.holds_exif:
        return ()
    return (FieldProblem("metadata", "can be kept in jpeg, png and webp output only"),)
