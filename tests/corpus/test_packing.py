import json
import threading
from pathlib import Path

import numpy as np
import pytest

from raysim.core.errors import DamagedEntry, InputError
from raysim.corpus.corpus import Corpus, Packed
from raysim.corpus.files import SourceFile
from raysim.corpus.packing import (
    PADDING,
    encode_validation,
    is_trained_on,
    load_packed,
    pack,
    pack_together,
    packing_key,
    store_packed,
    tokenize_files,
)
from raysim.corpus.tokenizer import CodeTokenizer, train_tokenizer


@pytest.fixture(scope="module")
def tokenizer() -> CodeTokenizer:
    return train_tokenizer(["a"], 257)  # one token a byte


FILES = [SourceFile(f"{i}.py", f"file {i}" + "." * i, "r") for i in range(20)]  # BOS and 6 + i tokens, 7 + i from 10


def test_stream_is_bos_and_file_in_turn(tokenizer: CodeTokenizer) -> None:
    packed = pack(FILES, tokenizer, 8, seed=1)
    assert packed.sequences.dtype == np.int32
    assert packed.sequences.shape[1] == 8
    stream = packed.sequences.reshape(-1)
    texts = {f.path: f.text for f in FILES}
    assert {path for path, _, _ in packed.file_spans} == set(texts)
    position = 0
    for path, start, end in packed.file_spans:
        assert start == position + 1
        if start - 1 < len(stream):
            assert stream[start - 1] == tokenizer.bos_id
        assert texts[path].startswith(tokenizer.decode(stream[start:end].tolist()))
        if end <= len(stream):
            assert tokenizer.decode(stream[start:end].tolist()) == texts[path]
        position = end
    num_tokens = sum(1 + len(f.text) for f in FILES)
    assert position == num_tokens
    assert packed.sequences.size + packed.dropped_tokens == num_tokens
    assert 0 <= packed.dropped_tokens < 8


def test_order_follows_the_seed_and_not_the_input(tokenizer: CodeTokenizer) -> None:
    one, same, other = pack(FILES, tokenizer, 8, 1), pack(FILES[::-1], tokenizer, 8, 1), pack(FILES, tokenizer, 8, 2)
    assert np.array_equal(one.sequences, same.sequences)
    assert one.file_spans == same.file_spans
    assert one.file_spans != other.file_spans


def test_sequences_are_read_only(tokenizer: CodeTokenizer) -> None:
    with pytest.raises(ValueError, match="read-only"):
        pack(FILES, tokenizer, 8, 1).sequences[0, 0] = 1


def test_exactly_one_sequence_drops_nothing(tokenizer: CodeTokenizer) -> None:
    packed = pack([SourceFile("a.py", "abc", "r")], tokenizer, 4, 1)
    assert packed.sequences.tolist() == [[tokenizer.bos_id, *tokenizer.encode("abc")]]
    assert (packed.dropped_tokens, packed.file_spans) == (0, (("a.py", 1, 4),))


def test_less_than_one_sequence_is_an_input_error(tokenizer: CodeTokenizer) -> None:
    with pytest.raises(InputError, match="1 training files give 4 tokens, less than one sequence of 5"):
        pack([SourceFile("a.py", "abc", "r")], tokenizer, 5, 1)


def test_truncated_files_are_their_first_tokens(tokenizer: CodeTokenizer) -> None:
    whole, cut = (pack(FILES, tokenizer, 8, 1, truncated_at) for truncated_at in (None, 9))
    assert [path for path, _, _ in cut.file_spans] == [path for path, _, _ in whole.file_spans]
    texts = {f.path: f.text for f in FILES}
    stream = cut.sequences.reshape(-1)
    for path, start, end in cut.file_spans:
        assert end - start == min(9, len(texts[path]))
        if end <= len(stream):
            assert tokenizer.decode(stream[start:end].tolist()) == texts[path][:9]
    longest = max(len(f.text) for f in FILES)
    assert np.array_equal(pack(FILES, tokenizer, 8, 1, longest).sequences, whole.sequences)
    assert packing_key(1) == packing_key(1, None) != packing_key(1, 9) != packing_key(1, 8)


def test_what_is_truncated_or_in_the_tail_is_not_trained_on(tokenizer: CodeTokenizer) -> None:
    files = (SourceFile("a.py", "a" * 10, "r"), SourceFile("b.py", "b" * 10, "r"))
    packed = pack(files, tokenizer, 8, 1, 6)  # BOS and 6 tokens each: 14 tokens, of which 8 are kept
    (first, _, _), (second, start, _) = packed.file_spans
    assert (packed.sequences.size, start) == (8, 8)
    corpus = Corpus("acme", files, (), truncated_at=6)
    assert [is_trained_on(corpus, packed, first, number) for number in (6, 7)] == [True, False]
    assert [is_trained_on(corpus, packed, second, number) for number in (0, 1)] == [True, False]
    everything = pack(files, tokenizer, 11, 1)
    corpus = Corpus("acme", files, ())
    assert [is_trained_on(corpus, everything, path, 10) for path in (first, second)] == [True, True]


def test_common_sequences_hold_the_files_of_all(tokenizer: CodeTokenizer) -> None:
    """Two organizations whose files are shorter than a sequence: many hold code of both."""
    other = [SourceFile(f.path, f.text.upper(), "s") for f in FILES]
    parts = [tokenize_files(files, tokenizer) for files in (FILES, other)]
    together = pack_together(parts, 32, seed=1)
    num_tokens = sum(2 * (1 + len(f.text)) for f in FILES)
    assert together.shape == (num_tokens // 32, 32)
    bar = tokenizer.encode("|")[0]
    stream = tokenizer.decode([bar if t == tokenizer.bos_id else t for t in together.reshape(-1).tolist()])
    *found, last = stream.split("|")[1:]
    texts = [f.text for f in (*FILES, *other)]
    assert len(set(found)) == len(found)
    assert set(found) <= set(texts)
    assert any(text.startswith(last) for text in texts)
    mixed = [
        any(t.islower() for t in text) and any(t.isupper() for t in text) for text in map(tokenizer.decode, together)
    ]
    assert sum(mixed) > len(mixed) / 3
    assert np.array_equal(together, pack_together(parts, 32, seed=1))
    assert not np.array_equal(together, pack_together(parts, 32, seed=2))


def test_common_sequences_of_one_organization_are_its_own(tokenizer: CodeTokenizer) -> None:
    assert np.array_equal(
        pack_together([tokenize_files(FILES, tokenizer)], 8, 1), pack(FILES, tokenizer, 8, 1).sequences
    )


def test_stored_packing_comes_back_memory_mapped(tokenizer: CodeTokenizer, tmp_path: Path) -> None:
    packed = pack(FILES, tokenizer, 8, 1)
    store_packed(packed, tmp_path / "deep/shard")
    again = load_packed(tmp_path / "deep/shard")
    assert isinstance(again.sequences, np.memmap)
    assert not again.sequences.flags.writeable
    assert np.array_equal(again.sequences, packed.sequences)
    assert (again.dropped_tokens, again.file_spans) == (packed.dropped_tokens, packed.file_spans)
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["shard"]


def test_many_writers_leave_one_whole_folder(tokenizer: CodeTokenizer, tmp_path: Path) -> None:
    packed = pack(FILES, tokenizer, 8, 1)
    writers = [threading.Thread(target=store_packed, args=(packed, tmp_path / "shard")) for _ in range(8)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [p.name for p in tmp_path.iterdir()] == ["shard"]
    assert load_packed(tmp_path / "shard").file_spans == packed.file_spans


def test_only_this_user_may_read_it(tokenizer: CodeTokenizer, tmp_path: Path) -> None:
    store_packed(pack(FILES, tokenizer, 8, 1), tmp_path / "shard")
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.rglob("*")}
    assert modes == {"shard": 0o700, "sequences.npy": 0o600, "packing.json": 0o600}


def test_failed_write_leaves_nothing(tmp_path: Path) -> None:
    unwritable = Packed(np.zeros((1, 2), np.int32), 0, (("a", 1, object()),))  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        store_packed(unwritable, tmp_path / "shard")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("damage", ["no sequences", "no json", "cut", "other shape"])
def test_damaged_folders_are_named(tokenizer: CodeTokenizer, tmp_path: Path, damage: str) -> None:
    shard = tmp_path / "shard"
    store_packed(pack(FILES, tokenizer, 8, 1), shard)
    if damage == "no sequences":
        (shard / "sequences.npy").unlink()
    elif damage == "no json":
        (shard / "packing.json").unlink()
    elif damage == "cut":
        data = (shard / "sequences.npy").read_bytes()
        (shard / "sequences.npy").write_bytes(data[:-8])
    else:
        rest = json.loads((shard / "packing.json").read_text())
        (shard / "packing.json").write_text(json.dumps(rest | {"shape": [1, 8]}))
    with pytest.raises(DamagedEntry, match="shard: not a packed corpus"):
        load_packed(shard)


@pytest.mark.parametrize("num_bytes", [1, 3, 4, 5, 8, 9])
def test_validation_windows_predict_every_token_once(tokenizer: CodeTokenizer, num_bytes: int) -> None:
    text = "abcdefghi"[:num_bytes]
    ((path, windows, size),) = encode_validation([SourceFile("a.py", text, "r")], tokenizer, 4)
    assert (path, size, windows.dtype) == ("a.py", num_bytes, np.int32)
    assert windows.shape == (-(-num_bytes // 4), 5)
    targets = windows[:, 1:].reshape(-1)
    assert tokenizer.decode(targets[targets != PADDING].tolist()) == text
    assert windows[0, 0] == tokenizer.bos_id
    assert np.array_equal(windows[1:, 0], windows[:-1, -1])


def test_validation_files_come_in_the_order_of_their_paths(tokenizer: CodeTokenizer) -> None:
    encoded = encode_validation(FILES[::-1], tokenizer, 8)
    assert [path for path, _, _ in encoded] == sorted(f.path for f in FILES)
