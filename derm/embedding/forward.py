"""The forward pass over one batch, always of the same size: kernels, and with them the last bits, depend on it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from derm.device import keep_freed_memory
from derm.embedding.tokens import as_tokens
from derm.encoders.encoder import Encoder
from derm.errors import UserError

# On a CPU larger batches are no faster, and one fixed size keeps every bit whatever a user asks for.
CPU_BATCH_SIZE = 8
# Batches of one take other kernels.
LEAST_BATCH_SIZE = 2
_OUT_OF_MEMORY = ("can't allocate memory", "not enough memory", "out of memory", "_STATUS_ALLOC_FAILED")


@dataclass(frozen=True)
class Embedded:
    """What one batch gave. pooled: float16 [n, dim]; tokens: float16 [n, patches, channels], or None if they are not
    asked for; finite: bool [n], whether all numbers of an image are."""

    pooled: np.ndarray
    tokens: np.ndarray | None
    finite: np.ndarray


def forward_batch_size(device: torch.device, asked: int) -> int:
    """How many images go through the encoder at once: `features.batch_size` on a GPU, always 8 on a CPU."""
    return CPU_BATCH_SIZE if device.type == "cpu" else asked


def make_ready(encoder: Encoder, device: torch.device, compiled: bool = False) -> Encoder:
    """The encoder on its device, by choice compiled."""
    # Full float32 on a GPU too: its matrix units would round to ten bits, and the manifest says float32.
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    encoder.to(device)
    if device.type == "cpu":
        keep_freed_memory()
        # Channels side by side in memory, as oneDNN wants them: MobileNetV2 takes half the time.
        for module in encoder.maps.modules():
            if isinstance(module, torch.nn.Conv2d):
                module.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    if not compiled:
        return encoder
    return replace(encoder, maps=torch.compile(encoder.maps))


class Forward:
    """An encoder that takes batches of `batch_size` on one device.

    On CUDA a batch is copied there on a stream of its own while the one before it is computed, and its result is
    waited for only when it is asked for.
    """

    def __init__(
        self, encoder: Encoder, batch_size: int, device: torch.device, token_pooling: int | None = None
    ) -> None:
        self.encoder, self.batch_size, self.device, self.token_pooling = encoder, batch_size, device, token_pooling
        self._copies = torch.cuda.Stream(device) if device.type == "cuda" else None

    @torch.inference_mode()
    def launch(self, images: Sequence[torch.Tensor]) -> Callable[[], Embedded]:
        """Up to `batch_size` images, float32 [3, height, width] each -> a function that waits for what they give.

        A smaller batch is filled up with its last image. UserError if the encoder could not be compiled.
        """
        count = len(images)
        full = [*images, *[images[-1]] * (self.batch_size - count)]
        batch = torch.empty((len(full), *images[0].shape), pin_memory=self._copies is not None)
        torch.stack(full, out=batch)
        tensors = self._embed(self._on_device(batch))
        finite = torch.stack([tensor.isfinite().flatten(1).all(1) for tensor in tensors]).all(0)
        fetched = [tensor[:count].to("cpu", non_blocking=self._copies is not None) for tensor in (finite, *tensors)]
        done = None
        if self._copies is not None:
            done = torch.cuda.Event()
            done.record()

        def fetch() -> Embedded:
            if done is not None:
                done.synchronize()
            finite, pooled, *tokens = (tensor.numpy() for tensor in fetched)
            return Embedded(pooled, tokens[0] if tokens else None, finite)

        return fetch

    def _on_device(self, batch: torch.Tensor) -> torch.Tensor:
        if self._copies is None:
            return batch.to(self.device)
        with torch.cuda.stream(self._copies):
            copied = batch.to(self.device, non_blocking=True)
        current = torch.cuda.current_stream(self.device)
        current.wait_stream(self._copies)
        copied.record_stream(current)  # its memory is not given away before the encoder has read it
        return copied

    def _embed(self, batch: torch.Tensor) -> list[torch.Tensor]:
        try:
            if self.token_pooling is None:
                return [self.encoder.embed(batch).half()]
            pooled, grid = self.encoder.embed_with_grid(batch)
        except Exception as error:
            if type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
                reason = next(iter(str(error).splitlines()), type(error).__name__)
                raise UserError(f"the encoder cannot be compiled here ({reason}): set features.compile=false") from None
            raise
        return [pooled.half(), as_tokens(grid, self.token_pooling).half()]


def embed_batch(encoder: Encoder, images: torch.Tensor, batch_size: int, device: torch.device) -> np.ndarray:
    """Float32 [n, 3, height, width] with n up to `batch_size` -> float16 [n, dim]."""
    return Forward(encoder, batch_size, device).launch(images.unbind())().pooled


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a smaller batch may help. The CPU's allocator, and some libraries of CUDA, say it in words only."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError) and any(words in str(error) for words in _OUT_OF_MEMORY)
    )
