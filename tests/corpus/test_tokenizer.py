import json
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raysim.core.errors import InputError, RenamedSetting
from raysim.core.keys import key_of
from raysim.core.settings import validate
from raysim.corpus.sources import SourceSettings, read_source
from raysim.corpus.tokenizer import (
    CodeTokenizer,
    TokenizerSettings,
    TrainedTokenizerSettings,
    load_tokenizer,
    train_tokenizer,
)

TEXTS = [f.text for f in read_source(SourceSettings(stdlib=True, include=["json/**", "[a-d]*.py"]), Path()).files]


@pytest.fixture(scope="module")
def tokenizer() -> CodeTokenizer:
    return train_tokenizer(TEXTS, 600)


def save(folder: Path, tokenizer: CodeTokenizer, changes: dict[str, Any] | None = None, config: Any = None) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "tokenizer.json").write_text(json.dumps(json.loads(tokenizer.json) | (changes or {})), encoding="utf-8")
    if config is not None:
        (folder / "tokenizer_config.json").write_text(json.dumps(config))


def load(folder: Path, name: str) -> CodeTokenizer:
    return load_tokenizer(TokenizerSettings(pretrained=name), folder)


@settings(deadline=None)
@given(st.text() | st.lists(st.sampled_from(["<|endoftext|>", " ", "\n", "a", "!=", "é", "\r", "\ufeff"])).map("".join))
def test_decoding_gives_the_text_back(tokenizer: CodeTokenizer, text: str) -> None:
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_real_code_comes_back_and_is_compressed(tokenizer: CodeTokenizer) -> None:
    text = TEXTS[0]
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text
    assert len(ids) < 0.6 * len(text.encode())


def test_many_texts_are_encoded_as_one_by_one(tokenizer: CodeTokenizer) -> None:
    texts = [*TEXTS[:20], "", "é\u0301"]
    assert tokenizer.encode_batch(texts) == [tokenizer.encode(text) for text in texts]
    assert tokenizer.encode_batch([]) == []


BYTES = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
ADDED = {"id": 600, "content": "<x>", "single_word": False, "rstrip": False, "normalized": False, "special": False}


@pytest.mark.parametrize(
    ("bytewise", "changes"),
    [
        (True, {}),
        (True, {"pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "Digits"}, BYTES]}}),
        (True, {"added_tokens": [{**ADDED, "lstrip": False}]}),
        (False, {"normalizer": {"type": "NFC"}}),
        (False, {"pre_tokenizer": {**BYTES, "add_prefix_space": True}}),
        (False, {"pre_tokenizer": {"type": "Metaspace"}}),
        (False, {"pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"}, BYTES]}}),
        (False, {"pre_tokenizer": None}),
        (False, {"added_tokens": [{**ADDED, "lstrip": True}]}),
        (False, {"model": {"type": "BPE", "dropout": 0.1, "vocab": {}, "merges": []}}),
        (False, {"model": {"type": "BPE", "dropout": None, "vocab": {"a": 0}, "merges": []}}),
        (False, {"model": {"type": "Unigram", "vocab": [["a", 0.0]]}}),
    ],
)
def test_only_byte_level_bpe_is_known_to_take_bytes_as_they_are(
    tokenizer: CodeTokenizer, bytewise: bool, changes: dict[str, Any]
) -> None:
    changed = CodeTokenizer(json.dumps({**json.loads(tokenizer.json), **changes}), tokenizer.bos_id)
    assert changed.is_bytewise == bytewise


@given(st.text())
def test_a_token_is_at_least_a_byte(tokenizer: CodeTokenizer, text: str) -> None:
    assert tokenizer.is_bytewise
    assert len(tokenizer.encode(text)) <= len(text.encode())


def test_special_token_in_source_code_is_text(tokenizer: CodeTokenizer) -> None:
    ids = tokenizer.encode("x = '<|endoftext|>'")
    assert tokenizer.bos_id not in ids
    assert len(ids) > 5


def test_decoding_leaves_the_special_token_out(tokenizer: CodeTokenizer) -> None:
    ids = tokenizer.encode("a != b")
    assert tokenizer.decode([tokenizer.bos_id, *ids, tokenizer.bos_id]) == "a != b"


def test_vocabulary_has_the_size_asked_for_and_every_byte(tokenizer: CodeTokenizer) -> None:
    assert tokenizer.vocab_size == 600
    assert train_tokenizer(["a"], 600).vocab_size == 257
    assert tokenizer.decode(tokenizer.encode(bytes(range(128)).decode())) == bytes(range(128)).decode()


def test_pickle_carries_the_data_and_not_the_built_object(tokenizer: CodeTokenizer) -> None:
    tokenizer.encode("x")
    data = pickle.dumps(tokenizer)
    again = pickle.loads(data)
    assert vars(again) == {"json": tokenizer.json, "bos_id": tokenizer.bos_id}
    assert again == tokenizer
    assert again.encode("import os") == tokenizer.encode("import os")


@pytest.mark.parametrize("parallelism", ["true", "false"])
def test_another_process_trains_the_same_tokenizer(tokenizer: CodeTokenizer, parallelism: str, tmp_path: Path) -> None:
    (tmp_path / "texts.json").write_text(json.dumps(TEXTS))
    script = (
        "import json, sys; from raysim.corpus.tokenizer import train_tokenizer;"
        "texts = json.load(open(sys.argv[1])); print(train_tokenizer(texts[::-1], 600).fingerprint)"
    )
    environment = os.environ | {
        "TOKENIZERS_PARALLELISM": parallelism,
        "RAYON_NUM_THREADS": "3",
        "PYTHONHASHSEED": "7",
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    command = [sys.executable, "-c", script, str(tmp_path / "texts.json")]
    found = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == tokenizer.fingerprint


def test_sample_is_seeded_and_bounded() -> None:
    texts = [f"name_{i} = {i}\n" * 20 for i in range(100)]
    one, again, other, whole = (
        train_tokenizer(texts, 400, sample_bytes=size, seed=seed)
        for size, seed in ((2000, 1), (2000, 1), (2000, 2), (None, 1))
    )
    assert one == again == train_tokenizer(texts[::-1], 400, sample_bytes=2000, seed=1)
    assert len({one.json, other.json, whole.json}) == 3
    with pytest.raises(InputError, match="no text to train on"):
        train_tokenizer(texts, 400, sample_bytes=10)


def test_vocabulary_must_hold_the_bytes() -> None:
    with pytest.raises(InputError, match="256 is under 257"):
        train_tokenizer(["a"], 256)


def test_folder_and_file_load_as_saved(tokenizer: CodeTokenizer, tmp_path: Path) -> None:
    save(tmp_path / "saved", tokenizer)
    one, two = load(tmp_path, "saved"), load(tmp_path, "saved/tokenizer.json")
    assert one == two
    assert (one.bos_id, one.vocab_size) == (tokenizer.bos_id, 600)
    assert one.encode(TEXTS[0]) == tokenizer.encode(TEXTS[0])


@pytest.mark.parametrize(
    "config", [{"bos_token": "<s>"}, {"bos_token": None, "eos_token": "<s>"}, {"bos_token": {"content": "<s>"}}]
)
def test_bos_is_what_the_configuration_names(tokenizer: CodeTokenizer, tmp_path: Path, config: Any) -> None:
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    start = {"id": 600, "content": "<s>", "special": True} | flags
    save(tmp_path / "saved", tokenizer, {"added_tokens": [*json.loads(tokenizer.json)["added_tokens"], start]}, config)
    loaded = load(tmp_path, "saved")
    assert (loaded.bos_id, loaded.vocab_size) == (600, 601)
    assert loaded.decode([600, *loaded.encode("<s> a")]) == "<s> a"


def test_stored_truncation_and_padding_do_not_touch_files(tokenizer: CodeTokenizer, tmp_path: Path) -> None:
    truncation = {"direction": "Right", "max_length": 4, "strategy": "LongestFirst", "stride": 0}
    save(tmp_path / "saved", tokenizer, {"truncation": truncation})
    assert load(tmp_path, "saved").encode(TEXTS[0]) == tokenizer.encode(TEXTS[0])


def test_stored_template_adds_no_token(tokenizer: CodeTokenizer, tmp_path: Path) -> None:
    from tokenizers import Tokenizer, processors

    built = Tokenizer.from_str(tokenizer.json)
    built.post_processor = processors.TemplateProcessing("<|endoftext|> $A", None, [("<|endoftext|>", 0)])
    assert built.encode("x").ids[0] == 0
    (tmp_path / "tokenizer.json").write_text(built.to_str(), encoding="utf-8")
    assert load(tmp_path, ".").encode("x") == tokenizer.encode("x")


def test_fingerprint_tells_tokenizers_apart(tokenizer: CodeTokenizer) -> None:
    others = [train_tokenizer(TEXTS, 601), CodeTokenizer(tokenizer.json, 5)]
    assert len({t.fingerprint for t in [tokenizer, *others]}) == 3


def test_tokenizer_that_loses_code_is_refused(tokenizer: CodeTokenizer, tmp_path: Path) -> None:
    save(tmp_path / "lower", tokenizer, {"normalizer": {"type": "Lowercase"}})
    with pytest.raises(InputError, match="does not give back the code it encodes"):
        load(tmp_path, "lower")


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "tokenizer.json is missing"),
        ({"tokenizer.json": "{}"}, "no tokenizer of the tokenizers library"),
        ({"tokenizer.json": "version https://git-lfs.github.com/spec/v1\nsize 3\n"}, "a Git LFS pointer"),
        ({"tokenizer.json": "]"}, "no tokenizer of the tokenizers library"),
        ({"tokenizer_config.json": '{"bos_token": "<s>"}'}, "no token '<s>'"),
        ({"tokenizer_config.json": "{"}, "cannot be read"),
    ],
)
def test_unusable_folders_are_named(
    tokenizer: CodeTokenizer, tmp_path: Path, files: dict[str, str], message: str
) -> None:
    (tmp_path / "saved").mkdir()
    if "tokenizer_config.json" in files:
        save(tmp_path / "saved", tokenizer)
    for name, content in files.items():
        (tmp_path / "saved" / name).write_text(content)
    with pytest.raises(InputError, match=f"tokenizer.pretrained saved: .*{message}"):
        load(tmp_path, "saved")


def test_a_tokenizer_never_runs_code_of_its_own(tokenizer: CodeTokenizer, tmp_path: Path) -> None:
    fields = {"auto_map": {"AutoTokenizer": ["own.Tokenizer", None]}, "tokenizer_class": "Own"}
    save(tmp_path / "saved", tokenizer, config=fields)
    (tmp_path / "saved" / "own.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    assert load(tmp_path, "saved").encode(TEXTS[0]) == tokenizer.encode(TEXTS[0])
    assert not (tmp_path / "ran").exists()


def test_a_name_that_is_nowhere_says_where_it_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not to be had from the hub"):
        load(tmp_path, "no/such/folder/here")


@pytest.mark.parametrize(
    "raw",
    [
        {},
        {"pretrained": "a", "train": {"vocab_size": 1024}},
        {"train": {"vocab_size": 100}},
        {"train": {"corpus": "all"}},
    ],
)
def test_settings_are_exactly_one_kind(raw: Any) -> None:
    with pytest.raises(InputError):
        validate(TokenizerSettings, raw, "x.yaml")


@pytest.mark.parametrize("old", ["on", True])
def test_corpus_is_read_by_its_old_name(old: Any) -> None:
    with pytest.warns(RenamedSetting, match=r"tokenizer\.train\.on is called tokenizer\.train\.corpus now"):
        settings = validate(TrainedTokenizerSettings, {old: "organizations", "vocab_size": 300}, "x.yaml")
    assert settings == TrainedTokenizerSettings(corpus="organizations", vocab_size=300)


def test_old_and_new_name_at_once_are_refused() -> None:
    with pytest.raises(InputError, match=r"x\.yaml: .*on is the old name of corpus"):
        validate(TrainedTokenizerSettings, {"on": "organizations", "corpus": "references"}, "x.yaml")


def test_recipes_keep_the_old_name() -> None:
    """A literal, since stored keys are hashes of it."""
    settings = TrainedTokenizerSettings(corpus="organizations", sample=4000)
    assert settings.recipe() == {"on": "organizations", "vocab_size": 1024, "sample": 4000}
    recipe = {"kind": "tokenizer", "version": 1, "settings": TrainedTokenizerSettings().recipe()}
    assert key_of(recipe) == "17cc1af50b50928853305e80b009bb6a"
