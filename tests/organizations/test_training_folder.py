"""Training data as files: for the owner alone, and no longer than a stage."""

import json
import stat
from pathlib import Path

import numpy as np

from raysim.corpus.files import SourceFile
from raysim.corpus.tokenizer import CodeTokenizer
from raysim.organizations.training_folder import training_folder


def test_files_are_there_for_as_long_as_the_block(tmp_path: Path, tokenizer: CodeTokenizer) -> None:
    sequences = np.arange(6, dtype=np.int32).reshape(2, 3)
    files = [SourceFile("../a b.py", "x = 'ä\ud800'\r\n", "repo"), SourceFile("c.py", "y\n", "other")]
    with training_folder(tmp_path, sequences, files, tokenizer) as folder:
        assert folder.parent == tmp_path
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert np.load(folder / "sequences.npy").tolist() == sequences.tolist()
        rows = [json.loads(line) for line in (folder / "files.jsonl").read_text("utf-8").splitlines()]
        assert rows == [{"path": f.path, "repository": f.repository, "text": f.text} for f in files]
        assert (folder / "tokenizer.json").read_text("utf-8") == tokenizer.json
        (folder / "left.bin").write_bytes(b"x")
    assert list(tmp_path.iterdir()) == []


def test_a_pool_of_organizations_has_sequences_alone() -> None:
    with training_folder(None, np.zeros((1, 4), np.int32)) as folder:
        assert [path.name for path in folder.iterdir()] == ["sequences.npy"]
    assert not folder.exists()
