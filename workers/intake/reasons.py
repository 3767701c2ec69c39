"""Why a picture could not be had: in full for the operator, with less for whoever asked.

Dead letters, outcomes and logs are the operator's. The result of a query goes to whoever asked it,
who may be anybody. What became of a file or an object of a private bucket would tell them which
there are, so for these they get one sentence, made of the reference alone.
"""

from __future__ import annotations

from workers.errors import HeadersMissing, IntakeError
from workers.intake.ssrf_guard import redacted

ELSEWHERE = "Send the picture itself (a data: URI); the reason is in the log of the query worker"


def scheme_of(reference: str) -> str:
    """The kind of a picture reference: "data", "http", "s3" …; "file" also for a plain path."""
    if reference[:5].lower() == "data:":
        return "data"
    scheme, named, _ = reference.partition("://")
    return scheme.lower() if named else "file"


def full_reason(reference: str, error: IntakeError) -> str:
    """For the operator: the reference, and all that is known."""
    name = "a data: URI" if scheme_of(reference) == "data" else redacted(reference)
    text = str(error)
    return text if text.startswith(name) else f"{name}: {text}"


def reason_for_asker(reference: str, error: IntakeError) -> str:
    """For whoever asked: nothing of what lies on this machine or behind its credentials."""
    name = redacted(reference)
    match scheme_of(reference):
        case "file":
            return (
                f"no picture at {name}: the file is missing, not in a folder that intake.roots "
                f"allows, or no picture within the limits. {ELSEWHERE}"
            )
        case "s3":
            return (
                f"no picture at {name}: there is no such object in a bucket that "
                f"intake.s3.buckets lists, or it is no picture within the limits. {ELSEWHERE}"
            )
    if isinstance(error, HeadersMissing):
        return f"{name}: the worker's settings for its host are wrong. {ELSEWHERE}"
    return str(error)
