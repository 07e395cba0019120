"""Files from repositories of the Hugging Face hub, at one commit; and what goes wrong there, in one line each."""

from pathlib import Path

from httpx2 import HTTPError  # huggingface_hub's own HTTP library
from huggingface_hub import constants, errors, hf_hub_download, try_to_load_from_cache

from derm.errors import UserError

# What huggingface_hub raises: its own errors, those of its HTTP library, those of disk and network, wrong names.
HUB_ERRORS = (errors.EntryNotFoundError, errors.XetDownloadError, HTTPError, OSError, RuntimeError, ValueError)
_WITHOUT_HUB = (
    "to work without a network, fetch the repository where there is one (`hf download {repository}`), set "
    "encoder.weights to that folder and encoder.weights_sha256 to its digest"
)


def fetch(repository: str, file: str, revision: str) -> Path:
    """A file of a repository in the hub's own cache (HF_HOME), fetched if it is not there.

    revision: commit, branch or tag; '' for the newest. The folder's name above the file is the commit. Offline
    (HF_HUB_OFFLINE=1, or no network) what is in the cache is taken. UserError if it cannot be had.
    """
    try:
        return Path(hf_hub_download(repository, file, revision=revision or None))
    except HUB_ERRORS as error:
        raise told(error, repository, revision) from None


def fetch_if_any(repository: str, file: str, revision: str) -> Path | None:
    """As `fetch`; None if the repository has no such file, or if offline mode is on and the cache has none."""
    try:
        cached = try_to_load_from_cache(repository, file, revision=revision or None)
        if cached is not None and not isinstance(cached, str) and revision:
            return None  # the cache remembers that this commit has no such file
        return Path(hf_hub_download(repository, file, revision=revision or None))
    except HUB_ERRORS as error:
        missing = isinstance(_cause(error), errors.RemoteEntryNotFoundError)
        if missing or (constants.is_offline_mode() and isinstance(error, errors.LocalEntryNotFoundError)):
            return None
        raise told(error, repository, revision) from None


def told(error: Exception, repository: str, revision: str) -> UserError:
    """What an exception of huggingface_hub, or of the HTTP library below it, means for the user: one line."""
    return UserError(_line(_cause(error), repository, revision))


def _cause(error: BaseException) -> BaseException:
    """huggingface_hub reports "not in the cache"; why it was not fetched is the cause of that."""
    if isinstance(error, errors.LocalEntryNotFoundError) and error.__cause__ is not None:
        return error.__cause__
    return error


def _line(error: BaseException, repository: str, revision: str) -> str:
    page = f"https://huggingface.co/{repository}"
    status = error.response.status_code if isinstance(error, errors.HfHubHTTPError) else None
    elsewhere = _WITHOUT_HUB.format(repository=repository)
    if isinstance(error, errors.GatedRepoError):
        if status == 403:
            return (
                f"{repository} has terms that the owner of your token has not accepted: open {page}, log in with that "
                "account and accept them (a fine-grained token also needs read access to gated repositories)"
            )
        return f"{repository} has terms to accept: open {page}, accept them, then `hf auth login`"
    if isinstance(error, errors.RepositoryNotFoundError):
        return (
            f"the hub has no repository {repository!r}, or it is private: check encoder.name against {page}; for a "
            "private one `hf auth login` with an account that may read it"
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return (
            f"encoder.revision: {repository} has no commit {revision!r}; {page}/commits/main lists them, and '' takes "
            "the newest"
        )
    if isinstance(error, errors.RemoteEntryNotFoundError):
        file = str(error.response.url).split("?", maxsplit=1)[0].rsplit("/", maxsplit=1)[-1]
        return f"{repository} has no file {file!r}, which is needed: {page}/tree/{revision or 'main'} lists what it has"
    if status == 401:
        return f"the hub does not accept your token for {repository}: `hf auth login` again, or unset HF_TOKEN"
    if status == 403:
        return f"your token may not read {repository}: open {page} to see what it asks for, then `hf auth login`"
    if status == 429:
        return f"the hub has had too many requests for {repository} from here: wait, or log in with `hf auth login`"
    if status is not None:
        return f"the hub answered {status} for {repository}: try again later; {elsewhere}"
    if isinstance(error, errors.HFValidationError):
        return f"encoder.name: {repository!r} is no name of a hub repository, expected hf/<owner>/<name>"
    if isinstance(error, errors.OfflineModeIsEnabled):
        return f"{repository} is not in the hub's cache and HF_HUB_OFFLINE is set: unset it, or {elsewhere}"
    if isinstance(error, OSError) and error.errno is not None and error.filename is not None:
        return f"{repository} cannot be kept in the hub's cache: {error.strerror}: {error.filename} (HF_HOME moves it)"
    reason = " ".join(str(error).split())[:200] or type(error).__name__
    return f"{repository} cannot be fetched from the hub ({reason}): check the network; {elsewhere}"
