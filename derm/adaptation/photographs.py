"""Photographs on their way into training: read, augmented and transformed by processes of their own."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from derm.adaptation.augmentation import Augmentation
from derm.errors import UserError
from derm.images import read_image
from derm.workers import worker_count

# A row, and the seed of what is drawn for it; None leaves the photograph as it is.
Draw = tuple[int, int | None]


@dataclass(frozen=True)
class Photographs(Dataset):
    """paths and their SHA-256 digests; transform: the encoder's own; augmentation comes before it."""

    paths: Sequence[str]
    digests: Sequence[str]
    transform: Callable[[Image.Image], torch.Tensor]
    augmentation: Augmentation

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, draw: Draw) -> tuple[int, torch.Tensor | str]:
        """The row, and float32 [3, rows, columns], or what is wrong with the file."""
        row, seed = draw
        try:
            image = read_image(self.paths[row], self.digests[row])
        except UserError as error:  # as an exception it would come out of another process with a traceback
            return row, str(error)
        return row, self.transform(image if seed is None else self.augmentation(image, seed))


def load_batches(
    photographs: Photographs, plan: Sequence[Sequence[Draw]], pinned: bool
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """For each batch of the plan, in its order: rows int64 [n], and images float32 [n, 3, rows, columns].

    What is drawn does not depend on how many processes read ahead. pinned: in memory that a GPU copies from.
    UserError names a file that has changed or is gone.
    """
    loader = DataLoader(
        photographs,
        batch_sampler=plan,  # type: ignore[arg-type]
        num_workers=min(worker_count(), len(plan) - 1),  # nothing could be read ahead of a single batch
        collate_fn=_together,
        pin_memory=pinned,
    )
    for rows, images in loader:
        if isinstance(images, str):
            raise UserError(images)
        yield rows, images


def _together(drawn: list[tuple[int, torch.Tensor | str]]) -> tuple[torch.Tensor, torch.Tensor | str]:
    wrong = next((given for _, given in drawn if isinstance(given, str)), None)
    rows = torch.tensor([row for row, _ in drawn])
    return rows, torch.stack([given for _, given in drawn]) if wrong is None else wrong  # type: ignore[arg-type]
