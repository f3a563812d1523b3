from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from raysim.core.spool import Spool
from raysim.corpus.files import SourceFile
from raysim.corpus.token_cache import TokenCache, encode_files
from raysim.corpus.tokenizer import CodeTokenizer, train_tokenizer

TEXTS = ["def f():\n    return 1\n", "", "é = '漢'\n", "x" * 50, "def f():\n    return 1\n"]


class Counting:
    """A tokenizer that notes what it is asked to encode."""

    def __init__(self, tokenizer: CodeTokenizer) -> None:
        self.tokenizer, self.bos_id = tokenizer, tokenizer.bos_id
        self.asked: list[str] = []

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        self.asked += texts
        return self.tokenizer.encode_batch(texts)


@pytest.fixture(scope="module")
def tokenizer() -> CodeTokenizer:
    return train_tokenizer(TEXTS, 270)


@pytest.mark.parametrize("held_bytes", [0, 60, 10_000])
def test_texts_are_encoded_once_wherever_their_ids_are_kept(
    tokenizer: CodeTokenizer, tmp_path: Path, held_bytes: int
) -> None:
    counting = Counting(tokenizer)
    cache = TokenCache(counting, Spool(tmp_path, held_bytes))
    for _ in range(2):
        assert [ids.tolist() for ids in cache.encode_batch(TEXTS)] == [tokenizer.encode(text) for text in TEXTS]
    assert cache.num_tokens(TEXTS[3]) == len(tokenizer.encode(TEXTS[3]))
    assert counting.asked == TEXTS[:4]
    assert list(tmp_path.iterdir()) == []


def test_files_come_behind_a_bos(tokenizer: CodeTokenizer) -> None:
    files = [SourceFile(f"{number}.py", text, "r") for number, text in enumerate(TEXTS)]
    found = list(encode_files(files, tokenizer))
    assert [ids.tolist() for ids in found] == [[tokenizer.bos_id, *tokenizer.encode(text)] for text in TEXTS]
    assert {ids.dtype for ids in found} == {np.dtype(np.int32)}
