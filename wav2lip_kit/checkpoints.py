"""Checkpoints: reading their tensors whatever the format, and the generator in them."""

from __future__ import annotations

import os
import pickle
import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from .errors import WeightsError
from .files import StrPath, replace_when_whole
from .model import WIDEST_KEY, Wav2Lip, width_of
from .notices import notice
from .weights import (
    brief,
    file_sha256,
    find_weights,
    log,
    looks_like,
    named_entry,
    weight_names,
)


def read_state_dict(path: StrPath) -> dict[str, Tensor]:
    """Read the tensors of a checkpoint, on the CPU and as they were saved.

    Told apart by content: a pickled state dict, one under the key "state_dict" with names that begin with `module.`,
    a TorchScript archive, and safetensors. Pickles are read with `weights_only=True`, which runs no code.

    Raises:
        WeightsError: If the file is absent, damaged, none of these, or would run code.
    """
    path = Path(path)
    if not path.is_file():
        raise WeightsError(f"no checkpoint file {str(path)!r}: give an existing file, or one of {weight_names()}")
    looks = looks_like(path)
    try:
        # torch's warnings here (old pickle protocol, TorchScript deprecated) are nothing the user can act on.
        with warnings.catch_warnings(), path.open("rb") as file:
            warnings.simplefilter("ignore")
            if looks == "safetensors":
                loaded: Any = load_file(path)
            elif looks == "a zip archive" and _is_torchscript(path):
                loaded = torch.jit.load(file, map_location="cpu").state_dict()
            elif looks in ("a zip archive", "a pickle"):
                loaded = torch.load(file, map_location="cpu", weights_only=True)
            else:
                raise _unusable(path, f"looks like {looks}")
    except WeightsError:
        raise
    except pickle.UnpicklingError as error:
        # torch's message names what it refused: "... GLOBAL posix.system ..."
        refused = re.search(r"GLOBAL ([\w.]+)", str(error))
        does = f"would run code ({refused[1]})" if refused else "could run code or is damaged"
        raise _unusable(path, f"is a pickle that {does} and is refused") from error
    except Exception as error:  # a damaged file can fail anywhere inside the readers
        raise _unusable(path, f"looks like {looks}, but is damaged or cut off ({brief(error)})") from error
    return _tensors(loaded, path)


def _is_torchscript(path: Path) -> bool:
    with zipfile.ZipFile(path) as archive:
        return any(name.split("/")[1:2] == ["code"] for name in archive.namelist())


def _tensors(loaded: Any, path: Path) -> dict[str, Tensor]:
    if isinstance(loaded, Mapping) and isinstance(loaded.get("state_dict"), Mapping):
        loaded = loaded["state_dict"]
    if not isinstance(loaded, Mapping) or not loaded or not all(isinstance(t, torch.Tensor) for t in loaded.values()):
        raise _unusable(path, "holds no state dict (names with tensors)")
    names = list(map(str, loaded))
    prefix = "module." if all(name.startswith("module.") for name in names) else ""
    return {name.removeprefix(prefix): tensor for name, tensor in zip(names, loaded.values(), strict=True)}


def _unusable(path: Path, what: str) -> WeightsError:
    return WeightsError(
        f"{str(path)!r} ({path.stat().st_size} bytes) {what}: "
        f"fetch it again (`wav2lip-kit weights fetch NAME`), or choose one of {weight_names('generator')}"
    )


# ── generators ──


def load_generator(name_or_path: StrPath, *, fetch: bool = True, progress: bool = True) -> Wav2Lip:
    """Load a generator in eval mode, float32, on the CPU, of whatever width its tensors tell.

    A published file is two thirds optimizer state: its generator is kept beside it as `STEM.SHA.slim.safetensors`,
    and read from there next time.

    Raises:
        WeightsError: As `find_weights` and `read_state_dict`, and if the file holds no Wav2Lip generator.
    """
    weights = named_entry(name_or_path)
    if weights is not None and weights.kind != "generator":
        choices = f"choose one of {weight_names('generator')}, or a checkpoint file"
        raise WeightsError(f"weights {weights.name!r} are a {weights.kind}, no generator: {choices}")
    path = find_weights(name_or_path, fetch=fetch, progress=progress)
    slim = None
    if weights is not None and weights.sha256 is not None:
        slim = path.with_name(f"{path.stem}.{weights.sha256[:12]}.slim.safetensors")
        if slim.is_file():
            try:
                return _generator(read_state_dict(slim), slim)
            except WeightsError as error:
                log.info("slim copy is made anew: %s", error)
    model = _generator(read_state_dict(path), path)
    if slim is not None and os.access(slim.parent, os.W_OK):
        _save_slim(model, slim, full_bytes=path.stat().st_size)
    return model


def weights_id(name_or_path: StrPath) -> str:
    """A short id, 16 characters, of the content that `load_generator` would load; for keys of caches.

    Raises:
        WeightsError: If a path is no file, or a named file that the manifest doesn't describe is absent.
    """
    weights = named_entry(name_or_path)
    if weights is not None and weights.sha256 is not None:
        return weights.sha256[:16]
    return file_sha256(find_weights(name_or_path, fetch=False))[:16]


def _generator(state: dict[str, Tensor], path: Path) -> Wav2Lip:
    widest = state.get(WIDEST_KEY)
    with torch.device("meta"):  # shapes only; the tensors of the file are put in as they are
        model = Wav2Lip(width_of(state) if widest is not None and widest.ndim == 4 else 1.0).eval()
    wanted = model.state_dict()
    # Batch norm's counters are used in training only, and some tools leave them out.
    counters = {key for key in wanted if key.endswith("num_batches_tracked")}
    for word, keys in {
        "lacks": [key for key in wanted if key not in state and key not in counters],
        "has the unexpected": [key for key in state if key not in wanted],
    }.items():
        if keys:
            raise _unusable(path, f"holds no Wav2Lip generator (it {word} {keys[0]!r}, {len(keys)} such)")
    tensors = {key: torch.zeros((), dtype=torch.int64) for key in counters}
    for key, tensor in state.items():
        got, expected = tuple(tensor.shape), tuple(wanted[key].shape)
        if got != expected:
            raise _unusable(path, f"holds another network ({key!r} is {got}, expected {expected})")
        if not torch.isfinite(tensor).all():
            raise _unusable(path, f"is damaged ({key!r} holds values that are not finite)")
        tensors[key] = tensor if key in counters else tensor.to(torch.float32).contiguous()
    model.load_state_dict(tensors, assign=True)
    return model


def _save_slim(model: Wav2Lip, slim: Path, *, full_bytes: int) -> None:
    tensors = model.state_dict()
    if full_bytes < 1.5 * sum(tensor.nbytes for tensor in tensors.values()):
        return  # nothing to strip
    try:
        with replace_when_whole(slim) as part:
            save_file(tensors, part)
    except (OSError, SafetensorError) as error:
        notice(f"the slim copy {str(slim)!r} could not be written ({brief(error)}): loading stays slow")
