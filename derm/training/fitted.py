"""What training a head gives, whichever way it was trained."""

from dataclasses import dataclass

from derm.heads.head import Member
from derm.training.curves import Curves


@dataclass(frozen=True)
class Fitted:
    """member: in evaluation mode, as it was at `best_step`; facts: whatever else was chosen, for the metrics."""

    member: Member
    curves: Curves
    best_step: int
    facts: dict[str, float | bool]
