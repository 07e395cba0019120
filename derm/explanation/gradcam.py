"""Class activation maps through pytorch-grad-cam, on the very code path that made the features."""

from typing import Any

import numpy as np
import torch
from pytorch_grad_cam import GradCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import nn

from derm.encoders.encoder import Encoder
from derm.heads.head import Head


class EncoderWithHead(nn.Module):
    """Images -> logits: what `featurize` and `train_head` do in two steps, differentiable in one."""

    def __init__(self, encoder: Encoder, head: Head) -> None:
        super().__init__()
        self.maps, self.pooling, self.head = encoder.maps, encoder.pooling, head.float()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(self.pooling(self.maps(images)))


def grad_cam(encoder: Encoder, head: Head, images: torch.Tensor, targets: list[int]) -> np.ndarray:
    """Grad-CAM (Selvaraju et al. 2017, arXiv 1610.02391) of one class for each image.

    images: float32 [n, 3, height, width], transformed; targets: class index for each.
    Returns float32 [n, height, width], each map scaled to [0, 1] (all 0 if nothing speaks for the class).
    """
    model = EncoderWithHead(encoder, head).eval()
    # The encoder is frozen: without this no gradient would reach its maps.
    images = images.clone().requires_grad_(True)
    with GradCAM(model=model, target_layers=[encoder.cam_layer], reshape_transform=encoder.to_grid) as cam:
        wanted: Any = [ClassifierOutputTarget(target) for target in targets]
        return cam(input_tensor=images, targets=wanted)
