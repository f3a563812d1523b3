"""Checkpoints of the field: what names one, and the one place where one is read.

Whatever is wrong with a checkpoint is said here, as an error of the input that names its file and its tensors. None of
its own code is ever run.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raysim.core.errors import InputError, first_line
from raysim.core.hub import commit_of, hub_file
from raysim.core.keys import file_sha256
from raysim.core.lfs import refuse_lfs_pointer
from raysim.training.libraries import load_transformers

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedConfig, PreTrainedModel

_CONTENT = (".json", ".safetensors", ".bin")
_WEIGHTS = ("model.safetensors", "pytorch_model.bin")
"""What transformers looks for, in this order; with ``.index.json`` behind it, weights lie in several files."""
_NAMED = 5
"""Tensors that a message names."""


def hub_commit(name: str, revision: str | None, looked_for: Path) -> str:
    """The commit of a checkpoint on the hub.

    Args:
        name: of its repository.
        revision: a branch, a tag or a commit; None: the main branch.
        looked_for: the folder that the name is not.

    Raises:
        InputError: there is none of that name.
    """
    try:
        return commit_of(hub_file(name, "config.json", revision))
    except (FileNotFoundError, InputError) as error:
        raise InputError(
            f"model.pretrained: {name}: no folder {looked_for}, and not to be had from the hub: {error}"
        ) from None


def identity(name: str, revision: str | None) -> dict[str, Any]:
    """What a checkpoint's part in a recipe is: the hashes of a folder's config and weights; of the hub, the commit.

    Raises:
        InputError: a folder without a config.
    """
    folder = Path(name)
    if not folder.is_dir():
        return {"hub": name, "revision": revision}
    if not (folder / "config.json").is_file():
        raise InputError(f"model.pretrained: {name}: no config.json in this folder")
    return {p.name: file_sha256(p) for p in sorted(folder.glob("*")) if p.suffix in _CONTENT}


def read_config(name: str, revision: str | None) -> "PreTrainedConfig":
    """The config of a checkpoint.

    Raises:
        InputError: there is none, it cannot be read, it needs code of its own, or it is of quantized weights.
    """
    load_transformers()
    from transformers import CONFIG_MAPPING, AutoConfig

    file = _config_file(name, revision)
    with _border(file):
        fields = json.loads(file.read_text(encoding="utf-8"))
        if not isinstance(fields, dict):
            raise ValueError("expected a JSON object")
        if fields.get("auto_map") and fields.get("model_type") not in CONFIG_MAPPING:
            raise InputError(
                f"model.pretrained: {file}: needs code of its own (auto_map), which is never run here; name a"
                " checkpoint of a type that transformers knows"
            )
        if quantization := fields.get("quantization_config"):
            method = quantization.get("quant_method") if isinstance(quantization, dict) else quantization
            raise InputError(
                f"model.pretrained: {file}: its weights are quantized ({method}), which cannot be trained; name the"
                " checkpoint that they were made from"
            )
        return AutoConfig.from_pretrained(name, revision=revision, trust_remote_code=False)


def read_model(name: str, revision: str | None, config: "PreTrainedConfig") -> "PreTrainedModel":
    """The model of a checkpoint, in float32, every tensor of it from the checkpoint.

    Raises:
        InputError: a file that cannot be read, or tensors that are missing, of another shape, integers or not finite.
    """
    import torch

    load_transformers()
    from transformers import AutoModelForCausalLM

    folder = _config_file(name, revision).parent
    _refuse_adapters(folder)
    with _border(folder):
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            name,
            revision=revision,
            config=config,
            dtype=torch.float32,
            trust_remote_code=False,
            ignore_mismatched_sizes=True,  # they are told below, by name
            output_loading_info=True,
        )
        model, found = loaded
        _refuse_adapters(folder)  # those of the hub have come with it
        _check_tensors(folder, model, found)
    return model


def _refuse_adapters(folder: Path) -> None:
    """Transformers would add adapters that lie beside a model, or fetch the model that they are for."""
    if (file := folder / "adapter_config.json").is_file():
        raise InputError(f"model.pretrained: {file}: adapters are no whole model; add them up with theirs first")


def _check_tensors(folder: Path, model: "PreTrainedModel", found: Mapping[str, Any]) -> None:
    files = _weight_files(folder)
    where = f"model.pretrained: {files[0] if len(files) == 1 else folder}"
    if missing := sorted(found["missing_keys"]):
        spare = sorted(found["unexpected_keys"])
        other = f"; it has others that this model has not: {_listed(spare)}" if spare else ""
        raise InputError(f"{where}: tensors are missing: {_listed(missing)}{other}")
    if mismatched := sorted(found["mismatched_keys"]):
        shapes = [f"{key} {list(there)} (config: {list(here)})" for key, there, here in mismatched]
        raise InputError(f"{where}: tensors have another shape than config.json says: {_listed(shapes)}")
    parameters = dict(model.named_parameters(remove_duplicate=False))
    if wrong := _integers(files, parameters, model.base_model_prefix):
        raise InputError(f"{where}: tensors are integers, as quantized ones are: {_listed(wrong)}")
    if wrong := sorted(key for key, parameter in parameters.items() if not bool(parameter.isfinite().all())):
        raise InputError(f"{where}: tensors are not finite: {_listed(wrong)}")


def _config_file(name: str, revision: str | None) -> Path:
    folder = Path(name)
    if folder.is_dir():
        return folder / "config.json"
    try:
        return hub_file(name, "config.json", revision)
    except (FileNotFoundError, InputError) as error:
        raise InputError(f"model.pretrained: {name}: not to be had from the hub: {error}") from None


@contextmanager
def _border(place: Path) -> Iterator[None]:
    """Whatever a library says of a checkpoint at `place` becomes an error of the input that names the file."""
    try:
        yield
    except (InputError, MemoryError):
        raise
    except Exception as error:  # every library on the way has errors of its own
        file = _broken_file(place) if place.is_dir() else place
        if file.is_file():
            with file.open("rb") as opened:
                refuse_lfs_pointer(opened.read(200), f"model.pretrained: {file}")
        raise InputError(f"model.pretrained: {file}: cannot be read: {first_line(error)}") from error


def _broken_file(folder: Path) -> Path:
    """The first file of a checkpoint that cannot be opened, else its folder."""
    try:
        files = _weight_files(folder)
    except InputError:
        raise
    except Exception:  # an index that is none
        return next(iter(sorted(folder.glob("*.index.json"))), folder)
    for file in files:
        try:
            _dtypes(file)
        except Exception:
            return file
    return folder


def _weight_files(folder: Path) -> list[Path]:
    """The files that transformers reads the weights from; empty: they have other names than usual."""
    for name in _WEIGHTS:
        if (folder / name).is_file():
            return [folder / name]
        if (index := folder / f"{name}.index.json").is_file():
            names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
            if strange := [part for part in names if Path(part).name != part]:
                raise InputError(f"model.pretrained: {index}: names a file elsewhere: {strange[0]}")
            return [folder / part for part in names]
    return []


def _dtypes(file: Path) -> dict[str, str]:
    """The dtype of every tensor of a file, whose content is not read, such as ``F32`` or ``torch.float32``."""
    if file.suffix == ".safetensors":
        from safetensors import safe_open

        with safe_open(file, framework="pt") as tensors:
            return {key: tensors.get_slice(key).get_dtype() for key in tensors.keys()}  # noqa: SIM118
    import torch

    state = torch.load(file, map_location="meta", weights_only=True)
    return {key: str(tensor.dtype) for key, tensor in state.items() if isinstance(tensor, torch.Tensor)}


def _integers(files: Sequence[Path], parameters: "dict[str, torch.nn.Parameter]", prefix: str) -> list[str]:
    """Tensors of `files` that are parameters of the model, under their name or without its prefix, but integers."""
    dtypes = {key: dtype for file in files for key, dtype in _dtypes(file).items()}
    wrong = [key for key, dtype in dtypes.items() if "F" not in dtype.upper()]
    return sorted(key for key in wrong if key in parameters or f"{prefix}.{key}" in parameters)


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
