import pytest
from hypothesis import given
from hypothesis import strategies as st

from image_service.core.bounds import MAX_OUTPUT_PIXELS, MAX_OUTPUT_SIDE, ImageFacts, largest_scale
from image_service.core.formats import ImageFormat
from image_service.core.spec import (
    FIELDS,
    FieldProblem,
    FieldsRefusedError,
    TransformSpec,
    Wishes,
    parse_fields,
    resolve,
)

_PHOTO = ImageFacts(ImageFormat.JPEG, 640, 480, 1)


def test_nothing_given_means_the_defaults() -> None:
    """Twice as large, in the file's own format."""
    spec = resolve(parse_fields({}), _PHOTO)
    assert spec == TransformSpec(scale=2, format=ImageFormat.JPEG, quality=90)


def test_every_field_is_read() -> None:
    """What the client asks for is what will be done."""
    wishes = parse_fields({"scale": "4", "format": "webp", "quality": "75", "metadata": "keep"})
    assert resolve(wishes, _PHOTO) == TransformSpec(4, ImageFormat.WEBP, 75, keep_metadata=True)


def test_all_problems_are_reported_at_once() -> None:
    """A client mends its form in one go, known problems included."""
    known = FieldProblem("file", "is required", "missing")
    with pytest.raises(FieldsRefusedError) as refused:
        parse_fields(
            {"scale": "3", "format": "tiff", "quality": "0", "metadata": "all"},
            known_problems=[known],
        )
    assert [problem.field for problem in refused.value.problems] == ["file", *FIELDS]


@pytest.mark.parametrize("scale", ["1", "3", "8", "2.0", "02", " 2", "+2", "\u0662", "", "-2"])
def test_only_two_and_four_are_scales(scale: str) -> None:
    """Other numbers, and other ways to write these two, are refused."""
    with pytest.raises(FieldsRefusedError, match="scale: must be 2 or 4"):
        parse_fields({"scale": scale})


@pytest.mark.parametrize("quality", ["0", "101", "1000", "-1", "9.5", "0x1", "1_0", " 7", "\u0667"])
def test_quality_is_one_to_a_hundred(quality: str) -> None:
    """Anything but a plain whole number in the range is refused."""
    with pytest.raises(FieldsRefusedError, match="quality: must be a whole number from 1 to 100"):
        parse_fields({"quality": quality})


@pytest.mark.parametrize("metadata", ["", "Keep", "keep ", "true", "1", "none"])
def test_metadata_is_stripped_or_kept(metadata: str) -> None:
    """Other words are refused: what is given away must not hang on a guess."""
    with pytest.raises(FieldsRefusedError, match="metadata: must be strip or keep"):
        parse_fields({"metadata": metadata})


def test_metadata_is_stripped_unless_asked() -> None:
    """Saying so and saying nothing are the same, for every format."""
    for fields in ({}, {"metadata": "strip"}):
        assert not resolve(parse_fields(fields | {"format": "gif"}), _PHOTO).keep_metadata


def test_kept_metadata_needs_a_place() -> None:
    """A wish that GIF cannot fulfil is refused, on its field."""
    with pytest.raises(FieldsRefusedError, match="metadata: can be kept in jpeg, png and webp"):
        resolve(Wishes(format=ImageFormat.GIF, keep_metadata=True), _PHOTO)


@pytest.mark.parametrize("target", [ImageFormat.PNG, ImageFormat.GIF])
def test_quality_needs_an_encoder_that_has_it(target: ImageFormat) -> None:
    """A wish that would be ignored is refused."""
    with pytest.raises(FieldsRefusedError, match="applies to jpeg and webp"):
        resolve(Wishes(format=target, quality=50), _PHOTO)


@pytest.mark.parametrize(
    ("width", "height", "frames", "target", "largest"),
    [
        (4095, 4080, 1, ImageFormat.PNG, 4),
        (4096, 32, 1, ImageFormat.PNG, 2),
        (8191, 32, 1, ImageFormat.PNG, 2),
        (8192, 32, 1, ImageFormat.PNG, 1),
        (8185, 8185, 1, ImageFormat.PNG, 2),
        (8188, 8188, 1, ImageFormat.PNG, 1),
        (1000, 1000, 16, ImageFormat.GIF, 4),
        (1000, 1000, 17, ImageFormat.GIF, 2),
        (1000, 1000, 68, ImageFormat.WEBP, 1),
        (1000, 1000, 68, ImageFormat.JPEG, 4),
    ],
)
def test_the_largest_scale_is_named(
    width: int, height: int, frames: int, target: ImageFormat, largest: int
) -> None:
    """Sides and pixels over all kept frames decide; a JPEG keeps one frame."""
    facts = ImageFacts(ImageFormat.GIF, width, height, frames)
    assert largest_scale(facts, target) == largest


def test_too_large_an_output_names_the_way_out() -> None:
    """The refusal stands on the field and says which scale would do."""
    with pytest.raises(FieldsRefusedError) as refused:
        resolve(Wishes(scale=4), ImageFacts(ImageFormat.PNG, 5000, 100, 1))
    assert refused.value.problems == (
        FieldProblem(
            "scale",
            "the output would be too large; the largest scale allowed for this image is 2",
        ),
    )


@given(
    st.dictionaries(st.sampled_from(FIELDS), st.text(max_size=10)),
    st.integers(32, 8192),
    st.integers(32, 8192),
    st.integers(1, 3000),
)
def test_no_form_leads_beyond_the_bounds(
    fields: dict[str, str], width: int, height: int, frames: int
) -> None:
    """Whatever is asked for, it is refused or its result is within bounds."""
    try:
        spec = resolve(parse_fields(fields), ImageFacts(ImageFormat.GIF, width, height, frames))
    except FieldsRefusedError:
        return
    kept = frames if spec.format.animates else 1
    assert max(width, height) * spec.scale <= MAX_OUTPUT_SIDE
    assert width * height * spec.scale**2 * kept <= MAX_OUTPUT_PIXELS
