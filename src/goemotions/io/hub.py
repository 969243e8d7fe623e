"""Pinned files from the Hugging Face Hub or a mirror of it, verified.

params.yaml says what the files contain; the environment says where they come from. With
GOEMOTIONS_MIRROR=<folder>, laid out as datasets/<repo>/... and models/<repo>/..., files are read
from there and the Hub is never asked; otherwise HF_HOME, HF_TOKEN, HF_ENDPOINT and
HF_HUB_OFFLINE mean what they mean to huggingface_hub.
"""

import os
import socket
import sys
import time
from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import Any

from goemotions.errors import UserError, first_line, of_disk
from goemotions.io.digests import sha256
from goemotions.io.project import project_folder

WAITS = (1, 2, 4)  # seconds before another try of a download


class NotFetchedError(UserError):
    """The Hub did not give a file, after all attempts that may help."""


def mirror() -> Path | None:
    """The folder that GOEMOTIONS_MIRROR names, taken relative to the project; None when unset.

    Raises:
        UserError: the folder does not exist.
    """
    value = os.environ.get("GOEMOTIONS_MIRROR")
    if not value:
        return None
    try:
        folder = project_folder() / Path(value).expanduser()
        if folder.is_dir():
            return folder
        reason = f"{folder} is not a folder"
    except (RuntimeError, ValueError) as error:  # no such user, a NUL character
        reason = first_line(error).rstrip(".")
    raise UserError(
        f"GOEMOTIONS_MIRROR is {value!r}: {reason}. Name a folder that holds datasets/ and "
        "models/, or unset it to use the Hugging Face Hub"
    )


def from_hub(
    kind: str,
    repo: str,
    revision: str,
    files: dict[str, str | None],
    *,
    again: bool = False,
) -> dict[str, Path]:
    """Fetch files of one Hub repository at one revision, from the mirror where there is one.

    Args:
        kind: "dataset" or "model".
        repo: the repository, as owner/name.
        revision: the commit to fetch.
        files: path inside the repository -> SHA-256, or None where none is pinned. A mirror's copy
            of a model's file needs one; the rows of a dataset have digests of their own.
        again: do not take files from the Hub client's cache.

    Returns:
        path inside the repository -> a local file whose digest was checked.

    Raises:
        NotFetchedError: the Hub cannot be reached, or refuses a file.
        UserError: lists every file that is missing or differs, and what to do.
    """
    folder = mirror()
    if folder is None:
        paths = {name: _download(kind, repo, revision, name, again=again) for name in files}
        # The client's own cache may be corrupted, and the client does not check it.
        for name in differing(paths, files) if online() else ():
            print(f"{name} is not what params.yaml pins; fetching it again", file=sys.stderr)
            paths[name] = _download(kind, repo, revision, name, again=True)
    else:
        root = folder / f"{kind}s" / repo
        paths = {name: root / name for name in files}
        if missing := [name for name, path in paths.items() if not path.is_file()]:
            raise UserError(
                f"the mirror {root} is missing {', '.join(missing)}; put revision {revision} of "
                f"{repo} there, or unset GOEMOTIONS_MIRROR to fetch from the Hugging Face Hub"
            )
        unpinned = [name for name, digest in files.items() if digest is None]
        if unpinned and kind == "model":
            raise UserError(
                f"params.yaml pins no SHA-256 for {', '.join(unpinned)} of {repo}, so a mirror's "
                "copy cannot be verified; unset GOEMOTIONS_MIRROR, or add the digests"
            )
    verify(paths, files, f"{repo} at {revision}")
    return paths


def verify(paths: dict[str, Path], digests: dict[str, str | None], origin: str) -> None:
    """Compare each file with its pinned SHA-256.

    Raises:
        UserError: lists the files that differ.
    """
    if differ := differing(paths, digests):
        lines = [f"{name} is {actual}, pinned {digests[name]}" for name, actual in differ.items()]
        raise UserError(
            f"{origin} is not what params.yaml pins by SHA-256:\n  " + "\n  ".join(lines) + "\n"
            "Delete the file where it was read from and fetch it again; if its content was meant "
            "to change, change the pin"
        )


def differing(paths: dict[str, Path], digests: dict[str, str | None]) -> dict[str, str]:
    """File -> SHA-256, of the files whose SHA-256 is not the pinned one."""
    return {
        name: actual
        for name, path in paths.items()
        if digests[name] is not None and (actual := sha256(path)) != digests[name]
    }


def online() -> bool:
    """Whether files are fetched from the Hub, and not from a mirror or the client's cache alone."""
    from huggingface_hub import is_offline_mode

    return mirror() is None and not is_offline_mode()


def _download(kind: str, repo: str, revision: str, name: str, *, again: bool) -> Path:
    """Fetch a file of the Hub by the Hub's own client.

    The client waits after a refused request and resumes a download that was cut. Some errors make
    it give up at once: these are reported and the download is tried again here.

    Args:
        again: do not take the file from the client's cache.
    """
    import huggingface_hub
    from huggingface_hub.constants import ENDPOINT

    _fail_early_without_network()
    for wait in (*WAITS, None):
        try:
            return Path(
                huggingface_hub.hf_hub_download(
                    repo, name, repo_type=kind, revision=revision, force_download=again
                )
            )
        except Exception as error:  # whatever the client and its transport raise
            if of_disk(error):
                raise
            reason = _reason(error)
            if wait is None or not _may_pass(error):
                break
        print(f"{name}: {reason}; trying again in {wait} s", file=sys.stderr, flush=True)
        time.sleep(wait)
    raise NotFetchedError(
        f"cannot fetch {name} of the {kind} {repo} at revision {revision} from {ENDPOINT}: "
        f"{reason}. Check the connection and HF_HUB_OFFLINE, or set GOEMOTIONS_MIRROR to a folder "
        f"that holds {kind}s/{repo}/{name}"
    )


@cache
def _fail_early_without_network() -> None:
    """Make the Hub's client give up at once where a host name cannot be resolved.

    The client would try it six times. Told that it is offline, it looks into its cache and gives
    up. But once a part of a file has arrived (the request for the rest has a Range), the network
    was lost on the way and may come back, so the client waits as for any other fault.
    """
    import httpx2
    import huggingface_hub
    from huggingface_hub import errors

    class Client(httpx2.Client):
        def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
            try:
                return super().send(request, **options)
            except httpx2.ConnectError as error:
                if "Range" in request.headers or not (unresolved := _unresolved(error)):
                    raise
                raise errors.OfflineModeIsEnabled(
                    f"the host name {request.url.host}, or that of a proxy, cannot be resolved: "
                    f"{unresolved.strerror}"
                ) from error

    hooks = huggingface_hub.get_session().event_hooks
    huggingface_hub.set_client_factory(
        lambda: Client(event_hooks=hooks, follow_redirects=True, timeout=None)
    )


def _unresolved(error: BaseException | None) -> socket.gaierror | None:
    """The failed name resolution behind an error, if that is what it comes from."""
    while error is not None:
        if isinstance(error, socket.gaierror):
            return error
        error = error.__cause__ or error.__context__
    return None


def _may_pass(error: Exception) -> bool:
    """Whether the same download may succeed a moment later.

    The client raises an OSError without a number for a file that is shorter or longer than the Hub
    announced.
    """
    import httpx2
    from huggingface_hub import errors

    if isinstance(error, errors.LocalEntryNotFoundError | errors.OfflineModeIsEnabled):
        return False  # after all of the client's own attempts
    if isinstance(error, errors.HfHubHTTPError):
        return error.response.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR
    network = (httpx2.NetworkError, httpx2.TimeoutException, httpx2.RemoteProtocolError)
    return isinstance(error, network) or (isinstance(error, OSError) and error.errno is None)


def _reason(error: Exception) -> str:
    from huggingface_hub import errors

    for cause in (error, error.__cause__):  # the client can wrap it in a ValueError
        if isinstance(cause, errors.OfflineModeIsEnabled):
            return f"the Hub cannot be reached ({first_line(cause)})"
    match error:
        case errors.GatedRepoError():
            return "access to it must be granted on its page, and HF_TOKEN set"
        case errors.RepositoryNotFoundError():
            return "the repository does not exist, or is private and HF_TOKEN is not set"
        case errors.RevisionNotFoundError():
            return "the revision does not exist"
        case errors.LocalEntryNotFoundError():
            answer = first_line(error.__cause__) if error.__cause__ else "offline"
            return f"the Hub cannot be reached ({answer})"
        case errors.EntryNotFoundError():
            return "the file does not exist"
    return first_line(error)
