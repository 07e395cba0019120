"""From images to logits: the mean over an image's views, for each member, or for each draw of dropout."""

from collections.abc import Callable

import numpy as np
import torch

from derm.errors import UserError
from derm.heads.dropout import HeldDropout
from derm.heads.head import Head, Member, pool_samples
from derm.heads.inputs import Inputs
from derm.seeds import derived


def image_logits(head: Head, inputs: Inputs) -> np.ndarray:
    """Logits float64 [n, classes]: the mean over the views, then the logarithm of the members' mean probability.

    Averaging logits over views averages the classes' odds geometrically, and leaves a linear head linear.
    """
    return pool_samples(torch.from_numpy(member_logits(head, inputs))).numpy()


def member_logits(head: Head, inputs: Inputs) -> np.ndarray:
    """Logits float64 [members, n, classes] of every member, the mean over an image's views."""
    return _over_images(head, inputs, head.each)


def dropout_logits(head: Head, inputs: Inputs, passes: int, seed: int) -> np.ndarray:
    """Logits float64 [members x passes, n, classes]: every member with dropout on, so often (Monte Carlo dropout).

    A pass is one draw of the network, the same for all images and views. UserError if the head has no dropout.
    """
    layers = [layer for layer in head.modules() if isinstance(layer, HeldDropout) and layer.share > 0]
    if not layers:
        raise UserError(
            "uncertainty.passes needs a head with dropout: set head.dropout above 0 (and a head.type that has it), "
            "or uncertainty.passes=0"
        )

    def drawn(features: torch.Tensor, metadata: torch.Tensor | None) -> torch.Tensor:
        each = []
        for draw in range(passes):
            generator = torch.Generator().manual_seed(derived(seed, draw))
            for layer in layers:
                layer.hold(generator)
            each.append(head.each(features, metadata))
        return torch.cat(each)

    try:
        return _over_images(head, inputs, drawn)
    finally:
        for layer in layers:
            layer.release()


@torch.inference_mode()
def _over_images(
    head: Head, inputs: Inputs, logits: Callable[[torch.Tensor, torch.Tensor | None], torch.Tensor]
) -> np.ndarray:
    """Chunk by chunk in float64: [samples, n, classes], the mean over views."""
    head.double().eval()
    chunks = []
    for which in inputs.chunks():
        metadata = inputs.known(which, torch.float64)
        views = [logits(inputs.features(which, view, torch.float64), metadata) for view in range(inputs.views)]
        chunks.append(torch.stack(views).mean(dim=0))
    return torch.cat(chunks, dim=1).numpy()


def val_logits(member: Member, inputs: Inputs) -> torch.Tensor:
    """A member's own logits [n, classes] while it is trained, in its own precision: the mean over the views."""
    dtype = next(tensor.dtype for tensor in member.state_dict().values() if tensor.is_floating_point())
    chunks = []
    for which in inputs.chunks():
        metadata = inputs.known(which, dtype)
        views = [member(inputs.features(which, view, dtype), metadata) for view in range(inputs.views)]
        chunks.append(torch.stack(views).mean(dim=0))
    return torch.cat(chunks)
