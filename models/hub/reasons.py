"""The ways in which fetching an encoder fails."""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """Why an encoder is not there. The message of the `HubError` says what to do next."""

    NAME = "name"
    """Neither a preset, nor ``hf:OWNER/NAME[@REVISION]``, ``timm:NAME`` or a folder."""
    EXTRA = "extra"
    """The package that fetches is not installed."""
    OFFLINE = "offline"
    """Nothing may be fetched here, by a setting or by HF_HUB_OFFLINE."""
    NETWORK = "network"
    """The hub cannot be reached."""
    REPOSITORY = "repository"
    """The hub has no such repository, or does not show it."""
    REVISION = "revision"
    """The repository has no such branch, tag or commit."""
    GATED = "gated"
    """Its licence has to be accepted first, or the token has no access."""
    ACCOUNT = "account"
    """The hub knows no account of the token."""
    CONTENT = "content"
    """The repository has no network that can be loaded: no configuration, no weights."""
    PICKLE = "pickle"
    """Its weights are there as pickles only, which can run code."""
    FILE_NAME = "file name"
    """It lists a file whose name leaves the folder."""
    BROKEN_OFF = "broken off"
    """The connection ended early; the next try goes on from there."""
    CHANGED = "changed"
    """A file differs from its hash."""
    DISK = "disk"
    """The files cannot be written: no room, or not allowed."""
    SERVER = "server"
    """The hub answers with an error of its own."""
