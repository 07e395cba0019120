"""Section `head`: which head, and its shape."""

from typing import Annotated, Literal

from pydantic import Field

from derm.params import Section

Widths = list[Annotated[int, Field(ge=1)]]
Share = Annotated[float, Field(ge=0, lt=1)]


class HeadParams(Section):
    """Section `head`. What a head does not use is left alone; params.yaml says whose each key is."""

    type: Literal["linear", "mlp", "acrnn", "attention_pool", "knn"]
    hidden: Widths
    batch_norm: bool
    dropout: Share
    input_dropout: Share
    convolution: int = Field(ge=1)
    lstm: int = Field(ge=1)
    attention: int = Field(ge=1)
    queries: int = Field(ge=1)
    query_width: int = Field(ge=1)
    neighbours: int = Field(ge=1)
    sharpness: float = Field(gt=0)
    metadata: bool
    metadata_hidden: Widths
    metadata_dropout: Share
    metadata_missing: bool
