"""Token ids of texts: each text is encoded once, and many at a time by the threads of the tokenizers library."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from raysim.core.keys import keyed_hash
from raysim.core.spool import Spool, Spooled
from raysim.corpus.files import SourceFile, batches
from raysim.corpus.tokenizer import FileTokenizer

Ids = npt.NDArray[np.int32]


class TokenCache:
    """A tokenizer that remembers what it has encoded; what does not fit into memory lies in the spool.

    Args:
        tokenizer: encodes.
        spool: takes int32 ids.
    """

    def __init__(self, tokenizer: FileTokenizer, spool: Spool) -> None:
        self._tokenizer = tokenizer
        self._spool = spool
        self._known: dict[bytes, Ids | Spooled] = {}

    @property
    def bos_id(self) -> int:
        """The id that goes before every file."""
        return self._tokenizer.bos_id

    def encode(self, text: str) -> Ids:
        """Token ids of `text`: int32 ``[num_tokens]``."""
        return self.encode_batch([text])[0]

    def encode_batch(self, texts: Sequence[str]) -> list[Ids]:
        """The same of each text."""
        names = [keyed_hash(text.encode(), b"") for text in texts]
        new = {name: text for name, text in zip(names, texts, strict=True) if name not in self._known}
        for name, ids in zip(new, self._tokenizer.encode_batch(list(new.values())), strict=True):
            self._known[name] = self._keep(np.array(ids, dtype=np.int32))
        return [self._ids(name) for name in names]

    def num_tokens(self, text: str) -> int:
        """How many there are in `text`."""
        return len(self.encode(text))

    def _keep(self, ids: Ids) -> Ids | Spooled:
        return ids if self._spool.takes(ids.nbytes) else self._spool.add(ids.tobytes())

    def _ids(self, name: bytes) -> Ids:
        known = self._known[name]
        return np.frombuffer(known.read(), dtype=np.int32) if isinstance(known, Spooled) else known


def encode_files(files: Iterable[SourceFile], tokenizer: FileTokenizer) -> Iterator[Ids]:
    """Token ids of each file behind a BOS: int32 ``[1 + num_tokens]``."""
    for ids in encode_all((source.text for source in files), tokenizer):
        yield np.concatenate([[tokenizer.bos_id], ids]).astype(np.int32)


def encode_all(texts: Iterable[str], tokenizer: FileTokenizer) -> Iterator[Sequence[int] | Ids]:
    """Token ids of each text; a batch of them is in memory at a time."""
    for batch in batches(texts, len):
        yield from tokenizer.encode_batch(batch)
