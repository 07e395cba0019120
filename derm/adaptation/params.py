"""Section `adapt`: whether and how the encoder itself is trained."""

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from derm.losses import LossParams
from derm.params import Section
from derm.training.params import GradientParams

Method = Literal["none", "lora", "full", "scratch"]
Level = Literal["none", "flips", "mild", "medium", "strong"]


class LoraParams(Section):
    """Low-rank adapters (Hu et al. 2021, arXiv 2106.09685): the update of a layer is `alpha / rank` times the product
    of two thin matrices."""

    rank: int = Field(ge=1, le=1024)
    alpha: float = Field(gt=0)
    dropout: float = Field(ge=0, lt=1)
    target_modules: Literal["auto"] | list[Annotated[str, Field(min_length=1)]]

    @field_validator("target_modules")
    @classmethod
    def _not_empty(cls, value: Any) -> Any:
        if value == []:
            raise ValueError("auto, or a list of layers' names, such as [attn.qkv, attn.proj]")
        return value


class AdaptParams(GradientParams):
    """Section `adapt`. What it shares with `train` means the same here; a step of the learning curves is an epoch."""

    method: Method
    lora: LoraParams
    classifier_learning_rate: float = Field(gt=0)
    layer_decay: float = Field(gt=0, le=1)
    frozen_epochs: int = Field(ge=0)
    batch_norm: Literal["auto", "train", "keep"]
    hidden: list[Annotated[int, Field(ge=1)]]
    dropout: float = Field(ge=0, lt=1)
    parts: int = Field(ge=1)
    precision: Literal["float32", "bfloat16"]
    gradient_checkpointing: bool
    augmentation: Level
    cutmix: float = Field(ge=0, le=10)
    loss: LossParams

    @property
    def trains_batch_norm(self) -> bool:
        """Whether batch norm takes each batch's own means, and keeps the running ones up to date."""
        return self.batch_norm == "train" or (self.batch_norm == "auto" and self.method == "scratch")
