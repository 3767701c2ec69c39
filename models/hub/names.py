"""What a name of an encoder means."""

from __future__ import annotations

import re
from dataclasses import dataclass

from models.errors import HubError
from models.hub.presets import PRESETS, Preset
from models.hub.reasons import Reason

HF, TIMM = "hf:", "timm:"
INT8 = "+int8"
"""Behind any name of a network: its pictures are encoded by weights of 8 bits."""

EVIT, TOME = "+evit", "+tome"
"""Behind a name, before `INT8`: its layers see fewer tokens (`models.backbone.token_reduction`)."""

MAIN = "main"
"""The branch that a hub gives without a revision."""

_PART = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9])?"
_REPO = re.compile(rf"{_PART}/{_PART}")
_REVISION = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._/-]{0,198}[A-Za-z0-9])?")
_COMMIT = re.compile(r"[0-9a-f]{40}")

FORMS = "hf:OWNER/NAME[@REVISION], timm:NAME, or a folder"


@dataclass(frozen=True)
class Source:
    """Where an encoder is fetched from.

    Attributes:
        name: as it was given.
        repo: OWNER/NAME.
        revision: a commit (40 hex digits), or a branch or tag.
        preset: whose name it is, if any.
    """

    name: str
    repo: str
    revision: str
    preset: Preset | None = None

    @property
    def pinned(self) -> bool:
        """Whether the revision is a commit, which never changes."""
        return is_commit(self.revision)


@dataclass(frozen=True)
class Variant:
    """How a network encodes pictures: as it is, or quicker and not quite the same.

    Attributes:
        fewer_tokens: `EVIT`, `TOME` or "".
        int8: whether its weights have 8 bits.
    """

    fewer_tokens: str = ""
    int8: bool = False

    def __str__(self) -> str:
        """What stands behind the name."""
        return self.fewer_tokens + (INT8 if self.int8 else "")


def variant_of(name: str) -> Variant:
    """What is asked for behind a name."""
    whole = name.removesuffix(INT8)
    tokens = next((one for one in (EVIT, TOME) if whole.endswith(one)), "")
    return Variant(tokens, name.endswith(INT8))


def plain_name(name: str) -> str:
    """A name without its variant."""
    return name.removesuffix(str(variant_of(name)))


def is_hub_name(name: str) -> bool:
    """Whether a name is of a preset, or begins with ``hf:`` or ``timm:``."""
    name = plain_name(name)
    return name in PRESETS or name.startswith((HF, TIMM))


def is_commit(revision: str) -> bool:
    """Whether a revision is a whole commit hash."""
    return _COMMIT.fullmatch(revision) is not None


def source_of(name: str) -> Source:
    """Where a name points to; raises HubError for one that is of no known form."""
    name = plain_name(name)
    if name in PRESETS:
        preset = PRESETS[name]
        return Source(name, preset.repo, preset.revision, preset)
    if name.startswith(HF):
        repo, _, revision = name.removeprefix(HF).partition("@")
        return _checked(Source(name, repo, revision or MAIN))
    if name.startswith(TIMM):
        repo, _, revision = name.removeprefix(TIMM).partition("@")
        if "." not in repo:
            raise HubError(
                Reason.NAME,
                f"{name} does not say which of timm's weights: add their tag, as in "
                "timm:resnet50.a1_in1k",
            )
        return _checked(Source(name, f"timm/{repo}", revision or MAIN))
    raise HubError(Reason.NAME, f"unknown encoder {name!r}: use {', '.join(PRESETS)}, {FORMS}")


def _checked(source: Source) -> Source:
    if not _REPO.fullmatch(source.repo) or ".." in source.repo or "--" in source.repo:
        raise HubError(Reason.NAME, f"{source.repo!r} is no OWNER/NAME of a hub: use {FORMS}")
    if not _REVISION.fullmatch(source.revision) or ".." in source.revision:
        raise HubError(Reason.NAME, f"{source.revision!r} is no branch, tag or commit of a hub")
    return source
