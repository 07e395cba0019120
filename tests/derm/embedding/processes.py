"""Real processes that share a cache, are killed, or are measured; run as a module: `processes WHAT FOLDER`.

Children are forked, so that torch is imported once and not for each of them.
"""

import os
import random
import resource
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

from derm.embedding.cache import EmbeddingCache
from derm.embedding.extract import extract_job
from tests.derm.embedding.fake import Fake, listed

KILLS = 10


def fork(work: Callable[[], object]) -> int:
    child = os.fork()
    if child:
        return child
    try:
        work()
        os._exit(0)
    except BaseException as error:
        print(repr(error), file=sys.stderr)
        os._exit(1)


def kill(folder: Path) -> None:
    """Embed the folder ten times, each time killed at a random moment; `computed` and `kept` hold the digests of what
    went through the encoder and of what `write` said was safe, in the order in which it happened."""
    items = listed(folder / "images")
    original = EmbeddingCache.write

    def write(self: EmbeddingCache, digests: list[str], *arrays: object) -> None:
        _append(folder / "computed", digests)
        original(self, digests, *arrays)  # type: ignore[arg-type]
        _append(folder / "kept", digests)

    EmbeddingCache.write = write  # type: ignore[method-assign]
    generator = random.Random(4)
    for _ in range(KILLS):
        child = fork(lambda: extract_job(Fake(seconds=0.008).job(), items))
        time.sleep(generator.uniform(0.01, 0.4))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status):
            sys.exit("it ended by itself: too fast to be killed on the way")


def two(folder: Path) -> None:
    """Two processes embed the same folder at the same time, one of them from its end."""
    items = listed(folder / "images")
    orders = [items, items[::-1]]
    children = [fork(lambda order=order: extract_job(Fake(seconds=0.004).job(), order)) for order in orders]
    sys.exit(max(os.waitpid(child, 0)[1] for child in children))


def memory(folder: Path) -> None:
    """Print the peak memory in MB after 1,000 images and after all."""
    items = listed(folder / "images")
    for count in (1000, len(items)):
        extract_job(Fake(name=str(count)).job(), items[:count])
        print(f"peak {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.1f}")


def _append(path: Path, digests: list[str]) -> None:
    with path.open("a") as stream:
        stream.write("".join(f"{digest}\n" for digest in digests))


if __name__ == "__main__":
    torch.set_num_threads(1)
    {"kill": kill, "two": two, "memory": memory}[sys.argv[1]](Path(sys.argv[2]))
