"""Section `explain`: what is shown, and how thoroughly it is tested."""

from typing import Literal

from pydantic import Field, field_validator

from derm.explanation.methods import Method
from derm.params import Section

Target = Literal["predicted", "true", "positive"]


class ExplainParams(Section):
    """method, layer, target: of the maps that are shown; gallery: how many images it has, if more than the
    sheets. Then how many test images each test is made on, 0 for none."""

    method: Method
    layer: str | list[str]
    target: Target
    per_sheet: int = Field(ge=1, le=60)
    gallery: int = Field(ge=0, le=1000)
    methods: list[Method] = Field(min_length=1)
    localisation: int = Field(ge=0)
    sanity: bool
    faithfulness: int = Field(ge=0)
    shortcuts: int = Field(ge=0)
    resamples: int = Field(ge=100, le=100_000)
    seed: int = Field(ge=0)

    @field_validator("methods")
    @classmethod
    def _once(cls, methods: list[Method]) -> list[Method]:
        if len(set(methods)) < len(methods):
            raise ValueError("each method once")
        return methods
