"""The HTTP cache with which rocrate-validator runs without a network.

    python reproduce/rocrate_cache.py CACHE      writes CACHE.sqlite

A crate of ours names one document by its address, RO-Crate 1.1's JSON-LD context. The package
`rocrate` (by the authors of RO-Crate) carries it, in public domain (CC0); here it is put into the
validator's own cache under that address. Run it with the Python of `make test-outside`.
"""

import io
import sys
from importlib import resources
from pathlib import Path

from requests import PreparedRequest, Response
from requests.adapters import BaseAdapter
from requests_cache import CachedSession
from urllib3 import HTTPResponse

CONTEXT = "https://w3id.org/ro/crate/1.1/context"


class Packaged(BaseAdapter):
    """Answers every request with one document."""

    def __init__(self, document: bytes) -> None:
        super().__init__()
        self.document = document

    def send(self, request: PreparedRequest, **_: object) -> Response:  # type: ignore[override]
        response = Response()
        response.status_code, response.url = 200, request.url or ""
        response.headers["Content-Type"] = "application/ld+json"
        response.request, response.reason = request, "OK"
        response.raw = HTTPResponse(
            io.BytesIO(self.document),
            status=200,
            headers=dict(response.headers),
            preload_content=False,
        )
        return response

    def close(self) -> None:
        pass


def write(cache: Path) -> None:
    """Put the context into the cache that `rocrate-validator --cache-path CACHE` reads."""
    document = resources.files("rocrate").joinpath("data/ro-crate.jsonld").read_bytes()
    with CachedSession(cache_name=str(cache), backend="sqlite", expire_after=-1) as session:
        session.mount("https://", Packaged(document))
        session.get(CONTEXT)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: rocrate_cache.py CACHE")
    write(Path(sys.argv[1]))
