"""Section `train`: how the head is fitted; and what it shares with the training of an encoder."""

from typing import Annotated, Literal

from pydantic import Field

from derm.params import Section

Sampling = Literal["natural", "balanced"]
Schedule = Literal["cosine", "warm_restarts", "one_cycle"]
Monitor = Literal["loss", "balanced_accuracy", "macro_f1", "hybrid"]


class GradientParams(Section):
    """What every network that is trained by gradient steps is told, be it a head or an encoder."""

    seed: int = Field(ge=0, lt=2**63)
    sampling: Sampling
    epochs: int = Field(ge=1)
    batch_size: int = Field(ge=2)  # of a batch of one image, batch norm and class weights would leave nothing
    learning_rate: float = Field(gt=0)
    least_learning_rate: float = Field(ge=0)
    weight_decay: float = Field(ge=0)
    schedule: Schedule
    warmup_epochs: int = Field(ge=0)
    restart_epochs: int = Field(ge=1)
    clip_norm: float = Field(ge=0)
    mixup: float = Field(ge=0, le=10)
    averaging: float = Field(ge=0, lt=1)
    monitor: Monitor
    patience: int = Field(ge=1)


class TrainParams(GradientParams):
    """Section `train`. `l2` and `max_iterations` are the linear head's; all else but `seed` and `sampling` is for heads
    trained by gradient steps."""

    members: int = Field(ge=1, le=100)
    l2: list[Annotated[float, Field(gt=0)]] = Field(min_length=1)
    max_iterations: int = Field(ge=1)
    noise: float = Field(ge=0, le=10)
