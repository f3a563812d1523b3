"""The tokenizer of a run: text to ids and back without loss, the same in every process."""

import hashlib
import json
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
import numpy.typing as npt
import pydantic

from raysim.core.errors import Adjusted, InputError, RenamedSetting
from raysim.core.hub import commit_of, hub_file
from raysim.core.json_text import parse_json
from raysim.core.keys import seed_of
from raysim.core.lfs import refuse_lfs_pointer
from raysim.core.settings import Settings, Size

if TYPE_CHECKING:
    from tokenizers import Tokenizer as BpeTokenizer

END_OF_TEXT = "<|endoftext|>"
MIN_VOCAB_SIZE = 257
"""Every byte and the special token."""

_LONGEST_LINE = 1_000_000
"""Characters of a line beyond which a text is data; a single word of many megabytes takes minutes to learn from."""

_SPLITTING = ("ByteLevel", "Split", "Digits", "Punctuation")
"""Steps before the model of a tokenizer that take nothing away from a text, but for a behaviour that says so."""

# What a tokenizer must give back as it was: indentation, operators, line ends, runs of blanks, letters of any script.
_PROBE = "def F(a):\n\tif a != b and not c:  # é 漢\r\n        return  {'x': -1} ;\n\n\n"


class TrainedTokenizerSettings(Settings):
    """A byte-level BPE tokenizer that is trained at the start of a run."""

    corpus: Literal["references", "organizations"] = pydantic.Field(
        default="references",
        description="whose code; of organizations what preparation keeps, if every agreement shares data",
    )
    vocab_size: int = pydantic.Field(default=1024, ge=MIN_VOCAB_SIZE, description="at most; few texts give fewer")
    sample: Size | None = pydantic.Field(
        default=None, description="train on whole texts drawn up to this many bytes instead of on all"
    )

    @pydantic.model_validator(mode="before")
    @classmethod
    def _read_old_name(cls, raw: Any) -> Any:
        """`corpus` was called `on`, which a YAML 1.1 parser reads as true, and writes so."""
        if not isinstance(raw, dict):
            return raw
        old = [name for name in ("on", True) if name in raw]
        if not old:
            return raw
        if "corpus" in raw:
            raise ValueError("on is the old name of corpus; give corpus alone")
        warnings.warn("tokenizer.train.on is called tokenizer.train.corpus now", RenamedSetting, stacklevel=2)
        return {"corpus": raw[old[0]], **{name: value for name, value in raw.items() if name not in old}}

    def recipe(self) -> dict[str, Any]:
        """What a trained tokenizer depends on; recipes call `corpus` by its old name."""
        dumped = self.model_dump(mode="json")
        return {"on": dumped.pop("corpus"), **dumped}


class TokenizerSettings(Settings):
    """Exactly one of `pretrained` and `train`."""

    pretrained: str | None = pydantic.Field(
        default=None, description="a folder with tokenizer.json, such a file, or a name on the Hugging Face hub"
    )
    train: TrainedTokenizerSettings | None = None

    @pydantic.model_validator(mode="after")
    def _exactly_one(self) -> "TokenizerSettings":
        if (self.pretrained is None) == (self.train is None):
            raise ValueError("a tokenizer is exactly one of pretrained and train")
        return self


class FileTokenizer(Protocol):
    """What packing needs of a tokenizer."""

    @property
    def bos_id(self) -> int: ...

    def encode_batch(self, texts: Sequence[str], /) -> Sequence[Sequence[int] | npt.NDArray[np.int32]]: ...


class Tokenizer(Protocol):
    """What generation needs of a tokenizer."""

    @property
    def bos_id(self) -> int: ...

    def encode(self, text: str, /) -> list[int]: ...

    def decode(self, ids: Any, /) -> str: ...


class PromptTokenizer(Tokenizer, Protocol):
    """What prompts need of a tokenizer."""

    @property
    def is_bytewise(self) -> bool: ...

    def encode_batch(self, texts: Sequence[str], /) -> list[list[int]]: ...


@dataclass(frozen=True)
class CodeTokenizer:
    """A tokenizer as data: pickled as its JSON, built where it is first used.

    Attributes:
        json: as the tokenizers library writes it.
        bos_id: the id that goes before every file.
    """

    json: str
    bos_id: int

    def encode(self, text: str) -> list[int]:
        """Token ids of `text`, without any that is not in it; ``<|endoftext|>`` in it is text like any other."""
        # The batch call without offsets takes half the time of a plain encode.
        return self._built.encode_batch_fast([text], add_special_tokens=False)[0].ids

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each of `texts`, by all threads of the library (``RAYON_NUM_THREADS``)."""
        return [one.ids for one in self._built.encode_batch_fast(list(texts), add_special_tokens=False)]

    def decode(self, ids: Sequence[int]) -> str:
        """The text of `ids`, blanks untouched, special tokens left out; a cut character becomes U+FFFD."""
        return self._built.decode([int(i) for i in ids if i != self.bos_id], skip_special_tokens=True)

    def token(self, number: int) -> str | None:
        """The token with this id, as it is written in a tokenizer's files."""
        return self._built.id_to_token(number)

    @property
    def vocab_size(self) -> int:
        """Number of ids, special tokens included: how many rows an embedding needs."""
        return max(self._built.get_vocab(with_added_tokens=True).values()) + 1

    @property
    def is_bytewise(self) -> bool:
        """Whether every token is some bytes of the text, at least one, so that the ids of two texts are never equal.

        True of byte-level BPE without a normalizer; False says nothing.
        """
        return self._bytewise

    @cached_property
    def fingerprint(self) -> str:
        """Names the tokenizer by its content."""
        digest = hashlib.sha256(f"{self.bos_id}\n{self.json}".encode())
        return digest.hexdigest()[:32]

    @cached_property
    def _bytewise(self) -> bool:
        return _is_bytewise(parse_json(self.json))

    @cached_property
    def _built(self) -> "BpeTokenizer":
        return _build(self.json)

    def __getstate__(self) -> dict[str, Any]:
        return {"json": self.json, "bos_id": self.bos_id}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)


def train_tokenizer(
    texts: Iterable[str], vocab_size: int, *, sample_bytes: int | None = None, seed: int = 1
) -> CodeTokenizer:
    """Trains byte-level BPE (Sennrich et al., 2016; bytes as in GPT-2) with ``<|endoftext|>`` as id 0.

    The same texts give the same tokenizer, whatever the number of threads or the order of the texts.

    Args:
        texts: to learn from.
        vocab_size: ids at most; few texts give fewer.
        sample_bytes: learn from whole texts drawn in seeded order while they fit into this many bytes; None: from all.
        seed: of that draw.

    Raises:
        InputError: no text, or a vocabulary too small for the bytes.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    if vocab_size < MIN_VOCAB_SIZE:
        raise InputError(f"tokenizer.train.vocab_size: {vocab_size} is under {MIN_VOCAB_SIZE}, which the bytes need")
    texts = _sample(texts, sample_bytes, seed)
    if not any(texts):
        raise InputError(
            "tokenizer.train: no text to train on; name a reference (references: [stdlib]), or raise sample"
        )
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer=trainer, length=len(texts))
    return _from_json(tokenizer.to_str(), END_OF_TEXT, "tokenizer.train")


def is_learnable(text: str) -> bool:
    """Whether a tokenizer should learn from `text`: no line of it is longer than any line of code."""
    return len(text) <= _LONGEST_LINE or max(map(len, text.split("\n"))) <= _LONGEST_LINE


def _sample(texts: Iterable[str], sample_bytes: int | None, seed: int) -> list[str]:
    ordered = sorted(texts)
    if sample_bytes is None:
        return ordered
    draws = np.random.Generator(np.random.Philox(seed_of(seed, "tokenizer sample"))).permutation(len(ordered))
    taken: list[str] = []
    left_bytes = sample_bytes
    for position in draws:
        num_bytes = len(ordered[position].encode())
        if num_bytes <= left_bytes:
            left_bytes -= num_bytes
            taken.append(ordered[position])
    return taken


def load_tokenizer(
    settings: TokenizerSettings, base: Path, model_eos: Callable[[], int | None] = lambda: None
) -> CodeTokenizer:
    """Loads the `pretrained` tokenizer; one to `train` needs texts, see `train_tokenizer`.

    Args:
        settings: with `pretrained`.
        base: the folder that relative paths start from.
        model_eos: asked where the tokenizer has no token to begin a text: which one ends a text for the model, which
            then goes before every file; None: as the tokenizer says.

    Warns:
        Adjusted: the model's differs from the one that ends a text for the tokenizer.

    Raises:
        InputError: no such tokenizer, none that gives back what it encodes, or no token to start a file with.
    """
    if settings.pretrained is None:
        raise ValueError("settings.train: train it with train_tokenizer, which takes the texts")
    given = settings.pretrained
    path = base / Path(given).expanduser()
    if path.is_dir():
        files = path / "tokenizer.json", path / "tokenizer_config.json"
    elif path.is_file():
        files = path, path.parent / "tokenizer_config.json"
    else:
        files = _fetch(given, path)
    origin = f"tokenizer.pretrained {given}"
    try:
        text = files[0].read_text(encoding="utf-8")
        config = parse_json(files[1].read_text(encoding="utf-8")) if files[1] and files[1].exists() else {}
    except FileNotFoundError:
        raise InputError(f"{origin}: {files[0].name} is missing; save it with save_pretrained of a fast one") from None
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{origin}: cannot be read: {error}") from None
    refuse_lfs_pointer(text, f"{origin}: {files[0].name}")
    tokenizer = _from_json(text, _token(config, "bos_token") or _token(config, "eos_token") or END_OF_TEXT, origin)
    if _token(config, "bos_token") or (eos := model_eos()) in (None, tokenizer.bos_id):
        return tokenizer
    named, own = (tokenizer.token(i) for i in (eos, tokenizer.bos_id))
    if named is None:
        raise InputError(f"{origin}: has no token {eos}, which ends a text for the model; use the checkpoint's own")
    warnings.warn(
        f"{origin}: it has no bos_token, so files begin with the token that ends one for the checkpoint, {named!r}"
        f" ({eos}), not with the tokenizer's {own!r} ({tokenizer.bos_id})",
        Adjusted,
        stacklevel=2,
    )
    return CodeTokenizer(tokenizer.json, eos)


def _fetch(name: str, looked_for: Path) -> tuple[Path, Path | None]:
    """tokenizer.json and, where there is one, tokenizer_config.json of a tokenizer on the hub, through its cache."""
    try:
        main = hub_file(name, "tokenizer.json")
    except (FileNotFoundError, InputError) as error:
        raise InputError(
            f"tokenizer.pretrained: {name}: no folder or file {looked_for}, and not to be had from the hub: {error}"
        ) from None
    try:
        return main, hub_file(name, "tokenizer_config.json", commit_of(main))
    except FileNotFoundError:
        return main, None


def _token(config: Any, key: str) -> str | None:
    token = config.get(key) if isinstance(config, dict) else None
    token = token.get("content") if isinstance(token, dict) else token
    return token if isinstance(token, str) and token else None


def _build(text: str) -> "BpeTokenizer":
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_str(text)
    tokenizer.encode_special_tokens = True  # that is: as the text they are, not as the special token
    return tokenizer


def _is_bytewise(described: Any) -> bool:
    """Whether a tokenizer's JSON describes one that takes all bytes as they are."""
    from tokenizers import pre_tokenizers

    model, before = described["model"], described.get("pre_tokenizer") or {}
    steps = before.get("pretokenizers", [before])
    return (
        model.get("type") == "BPE"
        and not any(model.get(name) for name in ("dropout", "continuing_subword_prefix", "end_of_word_suffix"))
        and not described.get("normalizer")
        and any(step.get("type") == "ByteLevel" and not step.get("add_prefix_space", True) for step in steps)
        and all(step.get("type") in _SPLITTING and step.get("behavior") != "Removed" for step in steps)
        and model["vocab"].keys() >= set(pre_tokenizers.ByteLevel.alphabet())
        and not any(one.get("lstrip") or one.get("rstrip") for one in described.get("added_tokens") or ())
    )


def _from_json(text: str, bos: str, origin: str) -> CodeTokenizer:
    try:
        # A stored truncation would shorten files in silence; padding would add to them.
        text = json.dumps({**parse_json(text), "truncation": None, "padding": None}, ensure_ascii=False)
        built = _build(text)
    except Exception as error:  # the library raises bare Exception
        raise InputError(f"{origin}: no tokenizer of the tokenizers library: {error}") from None
    bos_id = built.token_to_id(bos)
    if bos_id is None:
        raise InputError(f"{origin}: no token {bos!r} to start a file with; name a bos_token in tokenizer_config.json")
    tokenizer = CodeTokenizer(text, bos_id)
    returned = tokenizer.decode(tokenizer.encode(_PROBE))
    if returned != _PROBE:
        raise InputError(
            f"{origin}: it does not give back the code it encodes ({_PROBE!r} became {returned!r}), so verbatim "
            "copies could not be recognized; use a byte-level tokenizer"
        )
    return tokenizer
