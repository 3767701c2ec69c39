"""Errors of huggingface_hub, of the network and of the disk, as ours: each says what to do next.

Nothing of a server's own text is repeated, and no address but the hub's: addresses of downloads are
signed.
"""

from __future__ import annotations

import errno
from pathlib import Path

import httpx
from huggingface_hub.errors import (
    FileMetadataError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from models.errors import HubError
from models.hub.names import Source
from models.hub.reasons import Reason

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_NOT_ALLOWED = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST}
_DENIED, _FORBIDDEN = 401, 403


def explain(  # noqa: PLR0911 - a table
    error: Exception, source: Source, endpoint: str, folder: Path
) -> HubError | None:
    """What to tell of an error that came while a source was fetched; None if it is a bug.

    Args:
        error: as it was raised.
        source: what was fetched.
        endpoint: the address of the hub.
        folder: where the files go.
    """
    if isinstance(error, LocalEntryNotFoundError):  # raised from what went wrong
        cause = error.__cause__
        return explain(cause, source, endpoint, folder) if isinstance(cause, Exception) else None
    if isinstance(error, HfHubHTTPError):
        return _refused(error, source, endpoint)
    if isinstance(error, HFValidationError):
        return HubError(Reason.NAME, f"{source.repo} is no OWNER/NAME of a hub")
    if isinstance(error, FileMetadataError):
        return HubError(
            Reason.SERVER,
            f"{endpoint} does not answer like a hub: check HF_ENDPOINT, and proxies between",
        )
    if isinstance(error, OfflineModeIsEnabled):
        return HubError(Reason.OFFLINE, f"{source.name} is not here, and HF_HUB_OFFLINE is set")
    if isinstance(error, httpx.ConnectError | httpx.TimeoutException | httpx.ProxyError):
        return HubError(
            Reason.NETWORK,
            f"{endpoint} cannot be reached to fetch {source.name}: check the network (HTTPS_PROXY, "
            f"HF_ENDPOINT), or fetch it on another machine and copy its folder to {folder.parent}",
        )
    if isinstance(error, httpx.HTTPError):
        return HubError(
            Reason.BROKEN_OFF,
            f"the connection to {endpoint} ended early: run `lookstream models fetch "
            f"{source.name}` again, it goes on from there",
        )
    if isinstance(error, OSError):
        return _of_disk(error, source, folder)
    return None


def _refused(  # noqa: PLR0911 - a table
    error: HfHubHTTPError, source: Source, endpoint: str
) -> HubError:
    """An answer of the hub that is no success."""
    status, page = error.response.status_code, f"{endpoint}/{source.repo}"
    if isinstance(error, GatedRepoError) and status == _DENIED:
        return HubError(
            Reason.GATED,
            f"{source.repo} is gated: accept its licence at {page}, then set HF_TOKEN to a token "
            f"of that account ({endpoint}/settings/tokens)",
        )
    if isinstance(error, GatedRepoError) or status == _FORBIDDEN:
        return HubError(
            Reason.GATED,
            f"the account of HF_TOKEN has no access to {source.repo}: accept the licence at {page} "
            "with that account, and wait for the owner's approval if it says so",
        )
    if isinstance(error, RevisionNotFoundError):
        return HubError(
            Reason.REVISION,
            f"{source.repo} has no revision {source.revision!r}: see {page}/commits",
        )
    if isinstance(error, RepositoryNotFoundError):
        return HubError(
            Reason.REPOSITORY,
            f"there is no {source.repo} at {endpoint}, or it is private: check the name, or set "
            "HF_TOKEN to the token of an account that may read it",
        )
    if isinstance(error, RemoteEntryNotFoundError):
        return HubError(
            Reason.CONTENT,
            f"{source.repo} lists a file that it does not have: choose another revision",
        )
    if status == _DENIED:
        return HubError(
            Reason.ACCOUNT,
            f"{endpoint} does not know the token in HF_TOKEN: make one at "
            f"{endpoint}/settings/tokens, or unset it for what is public",
        )
    return HubError(
        Reason.SERVER,
        f"{endpoint} answered {status} to the request for {source.repo}: try again later",
    )


def _of_disk(error: OSError, source: Source, folder: Path) -> HubError | None:
    if error.errno in _NO_ROOM:
        return HubError(
            Reason.DISK,
            f"no room for {source.name} in {folder.parent}: free some, or set LOOKSTREAM_CACHE to "
            "a larger disk; what was fetched stays and is gone on from",
        )
    if error.errno in _NOT_ALLOWED:
        return HubError(
            Reason.DISK,
            f"{folder.parent} cannot be written ({error.strerror}): set LOOKSTREAM_CACHE to a "
            "folder that can",
        )
    if error.errno is None:  # huggingface_hub found another size than announced
        return HubError(
            Reason.BROKEN_OFF,
            f"a file of {source.name} ended early: run `lookstream models fetch {source.name}` "
            "again",
        )
    return None
