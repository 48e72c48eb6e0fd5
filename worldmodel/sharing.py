"""Models as folders that others can load: weights and configuration, on a disk or on the hub."""

import contextlib
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from huggingface_hub import PyTorchModelHubMixin
from torch import nn

from data_prep.errors import InputError


class Shareable(PyTorchModelHubMixin):
    """`from_pretrained` of a folder or of a repository of the hub, strictly.

    Every weight must be there and none may be left over. Pickled weights are refused.
    """

    @classmethod
    def _from_pretrained(cls, *, strict: bool = True, **options: Any) -> Any:
        with contextlib.redirect_stdout(io.StringIO()):  # it says that it loads
            model = super()._from_pretrained(strict=strict, **options)
        return model.eval()

    @classmethod
    def _load_as_pickle(cls, model: Any, model_file: Any, *_: Any) -> NoReturn:
        raise InputError(f"{model_file}: pickled weights are not loaded; give model.safetensors")


def write_model(model: Shareable, folder: Path, config: dict[str, Any]) -> None:
    """Write `model.safetensors` and `config.json`, from which `from_pretrained` makes the model.

    `config` holds what the model's class is called with, and what else its user must know.
    """
    (folder / "README.md").touch()  # or the hub's own card would be written
    model.save_pretrained(folder, config=config)


def accept_former_names(module: nn.Module, renamed: Mapping[str, str | None]) -> None:
    """Let a module load weights of earlier versions, in which the names of some began otherwise.

    `renamed` gives the present beginning of a name by the former one, or None where such a weight
    is no longer needed.
    """

    def rename(_: nn.Module, weights: dict[str, Any], prefix: str, *__: Any) -> None:
        for former, present in renamed.items():
            for name in [name for name in weights if name.startswith(prefix + former)]:
                weight = weights.pop(name)
                if present is not None:
                    weights[prefix + present + name.removeprefix(prefix + former)] = weight

    module.register_load_state_dict_pre_hook(rename)
