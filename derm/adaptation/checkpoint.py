"""Where a training stands after each epoch: outside DVC's outs, so that it outlives a kill."""

import errno
import json
import shutil
import sys
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from tqdm import tqdm

from derm.errors import UserError
from derm.files import canonical_json, write_bytes
from derm.workspace import private_folder

FILE = "checkpoint.safetensors"
State = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Progress:
    """All that the next epoch needs, and what is kept at the end.

    states: name -> what training moves: `network` as it is now, `average` if there is one, `best` if there is one,
    and `optimiser`. epochs: how many are done. parts: into which a batch is cut, which grows when memory is short.
    updates: how many the average has seen. groups: of the optimiser. best_score, best_step: of
    `derm.training.monitor.Best`. rows: the learning curves.
    """

    states: dict[str, State]
    epochs: int
    parts: int
    updates: int
    groups: list[dict[str, Any]]
    best_score: tuple[float, float]
    best_step: int | None
    rows: list[dict[str, Any]]

    def to_bytes(self) -> bytes:
        """As a safetensors file; all but the tensors is JSON, in one metadata key."""
        tensors = {
            f"{name}/{key}": tensor.detach().cpu().contiguous()
            for name, state in self.states.items()
            for key, tensor in state.items()
        }
        rest = {key: value for key, value in vars(self).items() if key != "states"}
        return save(tensors, metadata={"manifest": json.dumps(rest)})

    @staticmethod
    def from_file(path: Path) -> "Progress":
        """SafetensorError, ValueError or TypeError if it is damaged."""
        with safe_open(path, framework="pt") as archive:
            rest = json.loads((archive.metadata() or {})["manifest"])
            states: dict[str, State] = {}
            for whole in archive.keys():  # noqa: SIM118
                name, _, key = whole.partition("/")
                states.setdefault(name, {})[key] = archive.get_tensor(whole)
        return Progress(states=states, **rest | {"best_score": tuple(rest["best_score"])})


def optimiser_state(optimiser: torch.optim.Optimizer) -> tuple[State, list[dict[str, Any]]]:
    """What it remembers of each parameter, by `<number>.<name>`, and its groups as JSON can hold them."""
    content = optimiser.state_dict()
    state = {f"{number}.{name}": tensor for number, kept in content["state"].items() for name, tensor in kept.items()}
    return state, content["param_groups"]


def load_optimiser_state(optimiser: torch.optim.Optimizer, state: State, groups: list[dict[str, Any]]) -> None:
    """What `optimiser_state` gave, laid out in memory as the parameters are: the last bits can depend on it."""
    parameters = [parameter for group in optimiser.param_groups for parameter in group["params"]]
    kept: dict[int, State] = {}
    for key, tensor in state.items():
        number, _, name = key.partition(".")
        parameter = parameters[int(number)]
        same = tensor.shape == parameter.shape
        kept.setdefault(int(number), {})[name] = (
            torch.empty_like(parameter, requires_grad=False).copy_(tensor) if same else tensor
        )
    optimiser.load_state_dict({"state": kept, "param_groups": groups})


class Checkpoint:
    """One file for each training, by all that decides its result; written whole or not at all.

    told: whatever decides the result, as canonical JSON can hold it.
    """

    def __init__(self, told: dict[str, Any]) -> None:
        key = sha256(canonical_json(told).encode()).hexdigest()
        self.folder = private_folder("adapt") / key[:32]
        self.path = self.folder / FILE
        self._full = False

    def read(self) -> Progress | None:
        """Where it stopped, or None if it never began. UserError if the file is damaged."""
        if not self.path.exists():
            return None
        try:
            return Progress.from_file(self.path)
        except (SafetensorError, OSError, ValueError, TypeError, KeyError) as error:
            reason = next(iter(str(error).splitlines()), type(error).__name__)
            raise UserError(f"{self.path} is damaged ({reason[:200]}): delete it, and training begins anew") from None

    def write(self, progress: Progress) -> None:
        """Keep it. A full disk is told once, and training goes on without."""
        if self._full:
            return
        try:
            write_bytes(self.path, progress.to_bytes())
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            self._full = True
            for left in self.folder.glob("*.tmp"):
                left.unlink()
            kept = f"epoch {Progress.from_file(self.path).epochs}" if self.path.exists() else "the beginning"
            tqdm.write(
                f"WARNING: no room left for {self.folder}: going on without checkpoints; make room, or a killed run "
                f"begins again from {kept}",
                file=sys.stderr,
            )

    def delete(self) -> None:
        """The result is written: it is not needed any more."""
        shutil.rmtree(self.folder, ignore_errors=True)
