"""The network that is trained: the encoder and a classifier on it, which is thrown away when the encoder is done."""

import re
from typing import Any

import torch
from timm.models import group_parameters
from torch import nn

from derm.adaptation.lora import add_adapters
from derm.adaptation.params import AdaptParams
from derm.encoders.encoder import Encoder
from derm.errors import UserError
from derm.heads.mlp import Perceptron
from derm.seeds import derived


class AdaptedNetwork(nn.Module):
    """Images as the encoder's transform gives them, float32 [n, 3, rows, columns] -> logits float32 [n, classes].

    trained: names of the parameters that training moves. UserError if the encoder has no weights, or cannot be trained
    as asked.
    """

    def __init__(self, encoder: Encoder, classes: int, params: AdaptParams) -> None:
        super().__init__()
        name = encoder.manifest["encoder"]
        if encoder.model is None:
            raise UserError(
                f"adapt.method is {params.method}, and {name} has no weights to train: set adapt.method=none"
            )
        self.params = params
        self.model: nn.Module = encoder.model
        self.maps, self.pooling = encoder.maps, encoder.pooling
        self.name, self._lora = name, None
        torch.manual_seed(derived(params.seed, 0))
        if params.gradient_checkpointing:
            _checkpoint_gradients(self.model, name)
        self.model.requires_grad_(params.method != "lora")
        if params.method == "lora":
            self._lora = add_adapters(self.model, params.lora)
        with torch.no_grad():
            width = encoder.embed(torch.zeros(2, 3, *_input_size(encoder))).shape[1]
        # Dropout stands before the last layer, and after each hidden one.
        before = 0.0 if params.hidden else params.dropout
        body = Perceptron(width, params.hidden, params.dropout, batch_norm=False, input_dropout=before)
        self.classifier = nn.Sequential(body, nn.Linear(body.width, classes))
        self.trained = [key for key, parameter in self.named_parameters() if parameter.requires_grad]

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        features = self.pooling(self.maps(images)).float()
        return self.classifier(features)

    def train(self, mode: bool = True) -> "AdaptedNetwork":
        """Batch norm keeps its running means, unless `adapt.batch_norm` says otherwise; without a batch's own there is
        no way for one image to act on another."""
        super().train(mode)
        if mode and not self.params.trains_batch_norm:
            for module in self.model.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()
        return self

    def freeze(self, frozen: bool) -> None:
        """Whether only the classifier is trained for now; the encoder then runs as it would without training."""
        for key, parameter in self.named_parameters():
            if key in self.trained and not key.startswith("classifier."):
                parameter.requires_grad_(not frozen)
        if frozen:
            self.model.eval()

    def parameter_groups(self) -> list[dict[str, Any]]:
        """For AdamW, each with its own `peak` of the learning rate.

        `adapt.classifier_learning_rate` for the classifier, `adapt.learning_rate` for the encoder's last layer, and for
        each layer before it `adapt.layer_decay` times the next one's. Vectors (biases, scales of norms) do not decay.
        """
        params, layers = self.params, self._layers()
        last = max(layers.values(), default=0)
        groups: dict[tuple[float, float], list[nn.Parameter]] = {}
        for key, parameter in self.named_parameters():
            if key not in self.trained:
                continue
            rate = params.classifier_learning_rate
            if not key.startswith("classifier."):
                rate = params.learning_rate * params.layer_decay ** (last - layers.get(key, last))
            decay = params.weight_decay if parameter.ndim > 1 else 0.0
            groups.setdefault((rate, decay), []).append(parameter)
        return [
            {"params": members, "lr": rate, "peak": rate, "weight_decay": decay}
            for (rate, decay), members in groups.items()
        ]

    def moving_state(self) -> dict[str, torch.Tensor]:
        """Copies of all that training changes: trained parameters, and running means and counts."""
        buffers = {key for key, _ in self.named_buffers()}
        wanted = buffers.union(self.trained)
        return {key: tensor.detach().cpu().clone() for key, tensor in self.state_dict().items() if key in wanted}

    def load_moving_state(self, state: dict[str, torch.Tensor]) -> None:
        """What `moving_state` gave, of this very network."""
        unknown = self.load_state_dict(state, strict=False).unexpected_keys
        assert not unknown, unknown

    def merged(self) -> dict[str, torch.Tensor]:
        """The encoder's weights, on the CPU, as a plain network has them: adapters are added to the layers they are on,
        and are gone afterwards."""
        if self._lora is not None:
            self._lora.merge_and_unload(safe_merge=True)
            self._lora = None
        return {key: tensor.detach().cpu().contiguous().clone() for key, tensor in self.model.state_dict().items()}

    def _layers(self) -> dict[str, int]:
        """Parameter -> number of its layer, from the input on, as timm groups them."""
        if self.params.layer_decay == 1:
            return {}
        matcher = getattr(self.model, "group_matcher", None)
        found = group_parameters(self.model, _order if matcher is None else matcher(coarse=False), reverse=True)
        return {f"model.{key}": number for key, number in found.items()}  # type: ignore[union-attr]


def _input_size(encoder: Encoder) -> tuple[int, int]:
    return tuple(encoder.manifest["transform"]["size"])


def _checkpoint_gradients(model: Any, name: str) -> None:
    """Forget what lies between blocks and compute it anew for the gradient: less memory, a third more time."""
    try:
        if hasattr(model, "set_grad_checkpointing"):
            model.set_grad_checkpointing(True)
        else:
            model.activation_checkpointing_enable({"use_reentrant": False})
    except (AssertionError, AttributeError, ValueError):
        raise UserError(
            f"adapt.gradient_checkpointing is true, and {name} cannot do so: set it to false, and raise adapt.parts "
            "if memory is short"
        ) from None


def _order(name: str) -> tuple[float, ...]:
    """Where a parameter of a network of transformers stands: embeddings, blocks by their numbers, all else."""
    numbers = [float(number) for number in re.findall(r"\.(\d+)(?=\.)", name)][:2]
    if re.match(r"embed", name):
        return (0.0,)
    return (1.0, *numbers) if numbers else (float("inf"),)
