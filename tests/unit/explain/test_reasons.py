"""The sentence for each reason."""

import pytest

from authz_service.core.verdict import Reason
from authz_service.explain.reasons import SENTENCES


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_has_a_sentence(reason: Reason) -> None:
    """One plain sentence that ends, whose gaps are the limit, the wait and what is needed."""
    sentence = SENTENCES[reason].format(limit="per-minute", wait=7, needs="pro")
    assert sentence[0].isupper()
    assert sentence[-1] in ".?"
    assert "{" not in sentence


def test_no_two_reasons_have_one_sentence() -> None:
    """A developer can tell them apart."""
    assert len(set(SENTENCES.values())) == len(Reason)
