"""Files of few different lines, real ones of three owners, and corpora of them."""

import sysconfig
from collections.abc import Mapping
from pathlib import Path

from hypothesis import strategies as st

from raysim.scan.corpora import CodeCollection

Files = Mapping[str, str]

# Few different lines, so that many are equal; ends of lines and white space of every kind, and what only looks like it.
LINE = st.sampled_from(
    ["a", "b", "  a", "a\t", "\tb ", "x = 'é\u2028'", "\u00a0a\u2003", "\ufeffa", "", " ", "\x0c", "a\x0cb", "ß"]
)

END = st.sampled_from(["\n", "\n", "\n", "\r\n", "\r", "\n\n", "\x0c\n", "\x1c", "\x85"])

TEXT = st.lists(st.tuples(LINE, END), max_size=14).map(lambda parts: "".join(line + end for line, end in parts))

TEXT |= st.tuples(TEXT, LINE).map("".join)  # no line feed at the end

TEXT |= st.integers(0, 300).map(lambda count: "same\n" * count)

FILES = st.dictionaries(st.sampled_from(["a.py", "b.py", "d/c.py"]), TEXT, min_size=1, max_size=3)


def corpus(name: str, files: Files) -> CodeCollection:
    paths = sorted(files)
    return CodeCollection(name, paths, lambda number: files[paths[number]].encode("utf-8", "surrogatepass"))


REAL = {
    "meta": ["torch/nn", "torch/ao", "torch/quantization", "torch/distributed/optim"],
    "microsoft": ["deepspeed/runtime", "deepspeed/ops"],
    "google": ["google/protobuf", "google/api_core", "google/auth", "grpc"],
}


def real_files(*folders: str) -> Files:
    """The Python files in some folders of the installed packages, as they stand."""
    client = Path(sysconfig.get_path("purelib"))
    return {
        str(file.relative_to(client)): file.read_bytes().decode()
        for folder in folders
        for file in sorted((client / folder).rglob("*.py"))
    }
