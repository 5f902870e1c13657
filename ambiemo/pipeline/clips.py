"""Clips for nodes that cannot open them: an actor on the driver's node reads the file, checks its
hash and sends its bytes as they are on disk, compressed as the corpus ships them.

Nothing is sent where every node sees the folder of the corpus. A run on one node has no such actor.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

from ambiemo.durable import sha256

NAME = "ambiemo-clips"
KEPT = 256
"""Clips that an actor keeps: the questions about one group of clips follow each other."""
ANSWER_S = 120.0


class Clips:
    """Reads the files of the driver's node for the others."""

    def read(self, path: str, digest: str) -> bytes | None:
        """The file's bytes; None where it is not there or is not the one with this SHA-256."""
        try:
            content = Path(path).read_bytes()
        except OSError:
            return None
        return content if sha256(content) == digest else None


@contextmanager
def clips_sent() -> Iterator[None]:
    """Send clips for the time of a `with` block, where the running Ray has more nodes than one."""
    import ray

    from ambiemo.pipeline.cluster import beside_the_driver

    if sum(node["Alive"] for node in ray.nodes()) < 2:
        yield
        return
    about: dict[str, Any] = {"name": NAME, "max_restarts": -1, "max_task_retries": 3}
    actor: Any = ray.remote(Clips).options(**about, **beside_the_driver()).remote()
    try:
        yield
    finally:
        if ray.is_initialized():
            ray.kill(actor)


def sent(path: str, digest: str) -> bytes | None:
    """The bytes of a clip from the driver's node; None where nobody sends it."""
    try:
        return _sent(path, digest)
    except LookupError:
        return None


@lru_cache(maxsize=KEPT)
def _sent(path: str, digest: str) -> bytes:
    """As `sent`; raises LookupError in place of None, which the cache then does not keep."""
    import ray

    if not digest or not ray.is_initialized():
        raise LookupError
    try:
        content: Any = ray.get(ray.get_actor(NAME).read.remote(path, digest), timeout=ANSWER_S)
    except (ValueError, ray.exceptions.RayError) as error:  # ValueError: there is no such actor
        raise LookupError from error
    if content is None:
        raise LookupError
    return content
