"""What the operator reads of a picture that cannot be had, and what whoever asked is told."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.errors import (
    DeadlineExceeded,
    FetchError,
    HeadersMissing,
    IntakeError,
    PictureRefused,
)
from workers.intake.reasons import full_reason, reason_for_asker

ERRORS = st.builds(
    lambda kind, text: kind(text),
    st.sampled_from([FetchError, HeadersMissing, PictureRefused, DeadlineExceeded]),
    st.text(min_size=1),
)
NAMES = st.text(string.ascii_letters + "./ ", min_size=1, max_size=40)
PRIVATE = st.builds(
    "{}{}".format, st.sampled_from(["", "file://", "FILE:///", "s3://", "S3://shop/"]), NAMES
)


@given(PRIVATE, ERRORS, ERRORS)
def test_of_files_and_objects_only_the_reference_is_told(
    reference: str, one: IntakeError, other: IntakeError
) -> None:
    assert reason_for_asker(reference, one) == reason_for_asker(reference, other)
    assert reference in reason_for_asker(reference, one)


@given(PRIVATE | st.just("https://shop.test/a.png"), ERRORS)
def test_the_operator_reads_the_reference_and_the_error(reference: str, error: IntakeError) -> None:
    reason = full_reason(reference, error)
    assert reason.startswith(reference)
    assert reason.endswith(str(error))


@pytest.mark.parametrize("reference", ["https://shop.test/a.png", "data:,x", "ftp://shop.test/a"])
def test_of_what_is_not_ours_all_is_told(reference: str) -> None:
    assert reason_for_asker(reference, FetchError("answered 404")) == "answered 404"


def test_where_secrets_lie_is_not_told() -> None:
    error = HeadersMissing("intake.hosts: header file /run/secrets/cdn cannot be read")
    told = reason_for_asker("https://shop.test/a.png", error)
    assert "/run/secrets" not in told
    assert "https://shop.test/a.png" in told
