"""How lesions are dealt out: the section `split` of the params."""

import re
from typing import Literal

from pydantic import Field, field_validator, model_validator

from derm.params import Section

PARTS = ("train", "val", "calibration", "test")
# Images that belong to no part: with `official`, training images whose lesion the source tests on.
LEFT_OUT = "left_out"


class SplitParams(Section):
    """Section `split`."""

    scheme: Literal["holdout", "kfold", "official"]
    val: float = Field(gt=0, lt=1)
    calibration: float = Field(gt=0, lt=1)
    test: float = Field(gt=0, lt=1)
    folds: int = Field(ge=2, le=50)
    fold: int = Field(ge=0)
    seed: int = Field(ge=0, lt=2**32 - 2)
    rare: Literal["refuse", "train"]
    keep: str
    keep_sha256: str

    @field_validator("keep_sha256")
    @classmethod
    def _is_a_digest(cls, given: str) -> str:
        if given and not re.fullmatch(r"[0-9a-f]{64}", given):
            raise ValueError("the SHA-256 of split.keep, 64 hex digits, or nothing")
        return given

    @model_validator(mode="after")
    def _consistent(self) -> "SplitParams":
        if self.val + self.calibration + self.test >= 1:
            raise ValueError("val + calibration + test below 1, so that something is left to train on")
        if self.fold >= self.folds:
            raise ValueError(f"fold below folds ({self.folds}); folds count from 0")
        if self.keep and self.scheme != "holdout":
            raise ValueError("no split.keep with this scheme: an earlier split can be kept with `holdout` only")
        return self
