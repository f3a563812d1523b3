"""The Hugging Face hub: what a name means there changes, so that everything is read from one commit."""

from pathlib import Path

from raysim.core.errors import InputError, first_line


def hub_file(repository: str, file: str, revision: str | None = None) -> Path:
    """A file of a model or tokenizer, in the hub's cache; fetched unless it is there.

    Args:
        repository: for example ``someone/model``.
        file: its name; it lies at the top of the repository.
        revision: a branch, a tag or a commit; None: the main branch, without a network as it was last seen.

    Raises:
        FileNotFoundError: there is no such file, or without a network none in the cache.
        InputError: no such repository or revision, or the hub does not answer.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError

    try:
        return Path(hf_hub_download(repository, file, revision=revision))
    except EntryNotFoundError as error:
        raise FileNotFoundError(first_line(error)) from error
    except Exception as error:  # names that are none, answers that are none, caches that cannot be written
        raise InputError(first_line(error)) from error


def commit_of(file: Path) -> str:
    """The commit that a file of `hub_file` is of."""
    return file.parent.name
