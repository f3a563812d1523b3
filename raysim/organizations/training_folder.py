"""What a stage trains on, as files: for training backends whose code is a user's own and reads data by itself."""

import json
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt

from raysim.core.array_files import write_array_file
from raysim.corpus.files import SourceFile
from raysim.corpus.tokenizer import CodeTokenizer


@contextmanager
def training_folder(
    above: Path | None,
    sequences: npt.NDArray[np.int32],
    files: Sequence[SourceFile] = (),
    tokenizer: CodeTokenizer | None = None,
) -> Iterator[Path]:
    """A new folder that only this user may look into; it goes with the block, whatever was written into it meanwhile.

    It has ``sequences.npy``, int32 ``[num_sequences, sequence_length]``; of an organization also ``files.jsonl``, an
    object a line with ``path``, ``repository`` and ``text``, and ``tokenizer.json``.

    Args:
        above: where it is made; None: where this machine has temporary files.
        sequences: packed token ids.
        files: that they are made of.
        tokenizer: that made them; None: neither files nor tokenizer are written.
    """
    with tempfile.TemporaryDirectory(prefix="stage-", dir=above) as name:
        folder = Path(name)
        with (folder / "sequences.npy").open("wb") as file:
            write_array_file(file, sequences)
        if tokenizer:
            with (folder / "files.jsonl").open("w", encoding="utf-8") as file:
                for source in files:
                    row = {"path": source.path, "repository": source.repository, "text": source.text}
                    file.write(json.dumps(row) + "\n")
            (folder / "tokenizer.json").write_text(tokenizer.json, encoding="utf-8")
        yield folder
