"""Download the openly licensed corpora and check every file against its pinned SHA-256.

A download is written as `NAME.part`, resumed after an interruption, checked, and only then renamed.
So a file in place has the right hash. A wrong file is reported, moved to `set-aside/` and fetched
again. Uses the standard library only.
"""

import fnmatch
import http.client
import json
import os
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, urlsplit

from ambiemo import __version__
from ambiemo.corpora import Corpus, corpus
from ambiemo.corpora.audio import is_lfs_pointer
from ambiemo.corpora.pins import Downloads, Pinned
from ambiemo.durable import refused, sha256_file
from ambiemo.errors import BadInput

SET_ASIDE = "set-aside"
ATTEMPTS = 4
PAUSE_S = 0.5
"""Seconds before the second attempt; they double, or follow the server, to LONGEST_PAUSE_S."""
LONGEST_PAUSE_S = 30.0
TIMEOUT_S = 60.0
PIECE = 1 << 16
REPORT_EVERY_S = 2.0
GIVE_UP_AFTER = 12
"""Stop after this many files in a row that could not be reached."""


@dataclass
class Fetched:
    """The outcome of a fetch, in files.

    wanted: asked for. of_all: pinned in the whole corpus.
    there: already right. fetched: downloaded now.
    set_aside, failed: [(path, why)]. stopped: why the fetch ended early ("" if it did not).
    """

    corpus: str
    root: Path
    wanted: int
    of_all: int
    there: int = 0
    fetched: int = 0
    fetched_bytes: int = 0
    set_aside: list[tuple[str, str]] = field(default_factory=list)
    failed: list[tuple[str, str]] = field(default_factory=list)
    stopped: str = ""

    @property
    def whole(self) -> bool:
        """True if every wanted file is in place with the right hash."""
        return self.there + self.fetched == self.wanted


def pinned_files(name: str) -> list[Pinned]:
    """The files of a corpus whose hashes are known, in the order to fetch them."""
    return list(_downloads(name).files)


def _downloads(name: str) -> Downloads:
    return getattr(corpus(name).file, "downloads", lambda: Downloads(()))()


def fetch(
    name: str,
    root: Path,
    base_url: str | None = None,
    jobs: int = 8,
    match: str = "*",
    report: Callable[[str], None] = lambda line: None,
) -> Fetched:
    """Fetch the pinned files of a corpus into `root`. Files already right are left alone.

    root: created if missing.
    base_url: an address that serves the same paths, in place of the owner's.
    match: fetch only paths that match this glob.
    report: called with a progress line every few seconds, and for every file set aside or failed.
    Raises BadInput for a licensed corpus (the message says where to ask), a corpus without pinned
    hashes, an address that is not http(s), and a glob without a match; Broken if the disk refuses.
    """
    row = corpus(name)
    if not row.open:
        raise BadInput(
            f"{name}: is licensed ({row.licence}) and cannot be fetched: {row.where}; "
            f"put into {root}: {row.file.LAYOUT}"
        )
    pins = pinned_files(name)
    if name == "tiny":
        raise BadInput("tiny: ships with the package, there is nothing to fetch")
    if not pins:
        raise BadInput(f"{name}: {_unpinned(row)}; put into {root}: {row.file.LAYOUT}")
    if base_url is not None and urlsplit(base_url).scheme not in ("http", "https"):
        raise BadInput(
            f"--base-url {base_url}: expected an address that begins with http:// or https://"
        )
    wanted = [pin for pin in pins if fnmatch.fnmatchcase(pin.path, match)]
    if not wanted:
        raise BadInput(f"{name}: no file matches '{match}'; paths look like {pins[-1].path}")
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise refused(root, error) from error
    outcome = Fetched(name, root, len(wanted), len(pins))
    missing = _look(root, wanted, outcome, report)
    if base_url is None and missing and not missing[0].base_url:
        outcome.failed += [(pin.path, "is not here") for pin in missing]
        outcome.stopped = (
            f"{row.name} has no address for single files: {row.where}; unpack it into {root}, "
            "then run this again"
        )
        return outcome
    _download(root, missing, base_url, jobs, outcome, report)
    return outcome


def lines(outcome: Fetched) -> list[str]:
    """What `ambiemo data fetch` prints at the end: files in place, missing and failed."""
    here = outcome.there + outcome.fetched
    out = [
        f"{outcome.root}: {here:,} of {outcome.wanted:,} files of {outcome.corpus} in place and "
        "checked "
        f"({outcome.there:,} were there, {outcome.fetched:,} fetched, "
        f"{outcome.fetched_bytes / 1e6:.1f} MB)"
    ]
    if outcome.wanted < outcome.of_all:
        out.append(
            f"  asked for {outcome.wanted:,} of the {outcome.of_all:,} files whose hashes are "
            "pinned"
        )
    out += [f"  set aside: {path}: {why}" for path, why in outcome.set_aside[:20]]
    out += [f"  missing: {path}: {why}" for path, why in outcome.failed[:20]]
    if len(outcome.failed) > 20:
        out.append(f"  and {len(outcome.failed) - 20:,} more")
    if outcome.stopped:
        out.append(f"  {outcome.stopped}")
    if not outcome.whole:
        out.append(
            f"  partial: usable as it is ({here:,} of {outcome.wanted:,}); "
            "run the same command again for the rest"
        )
    if note := _downloads(outcome.corpus).note:
        out.append(f"  {note}")
    return out


def as_json(outcome: Fetched) -> str:
    """The outcome as one JSON object."""
    fields = {**outcome.__dict__, "root": str(outcome.root), "whole": outcome.whole}
    return json.dumps(fields, indent=2, ensure_ascii=False)


def _unpinned(row: Corpus) -> str:
    return (
        "no hash of its files is pinned, so nothing is fetched unchecked; get it yourself: "
        f"{row.where} ({row.licence})"
    )


def _look(
    root: Path, wanted: list[Pinned], outcome: Fetched, report: Callable[[str], None]
) -> list[Pinned]:
    """The wanted files that are not in place; wrong ones are set aside."""
    missing = []
    for pin in wanted:
        path = root / pin.path
        why = _wrong(path, pin)
        if why == "":
            outcome.there += 1
            continue
        if why:
            _set_aside(root, path, pin, why, outcome, report)
        missing.append(pin)
    return missing


def _wrong(path: Path, pin: Pinned) -> str | None:
    """Why a file is not the pinned one: "" if it is, None if there is no file."""
    try:
        size = path.stat().st_size
        if size == pin.size:
            digest = sha256_file(path)
            return (
                ""
                if digest == pin.sha256
                else f"has SHA-256 {digest[:12]}…, expected {pin.sha256[:12]}…"
            )
        with open(path, "rb") as file:
            if is_lfs_pointer(file.read(64)):
                return "is a Git LFS pointer, not the file"
        return f"has {size:,} bytes, expected {pin.size:,}"
    except FileNotFoundError:
        return None
    except OSError as error:
        raise BadInput(f"{path}: cannot be read: {error.strerror or error}") from error


def _set_aside(
    root: Path, path: Path, pin: Pinned, why: str, outcome: Fetched, report: Callable[[str], None]
) -> None:
    target = root / SET_ASIDE / pin.path
    for number in range(1, 1000):
        if not target.exists():
            break
        target = target.with_name(f"{Path(pin.path).name}.{number}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(path, target)
    except OSError as error:
        raise refused(target, error) from error
    outcome.set_aside.append((pin.path, f"{why}; now in {target.relative_to(root).as_posix()}"))
    report(f"{pin.path}: {why}; set aside, fetching it again")


def _download(
    root: Path,
    missing: list[Pinned],
    base_url: str | None,
    jobs: int,
    outcome: Fetched,
    report: Callable[[str], None],
) -> None:
    stop = threading.Event()
    total = sum(pin.size for pin in missing)
    started = last_report = time.monotonic()
    unreached = 0
    with ThreadPoolExecutor(max_workers=jobs) as pool:
        running = {pool.submit(_one, root, pin, base_url, stop): pin for pin in missing}
        try:
            for done in as_completed(running):
                pin = running[done]
                result = done.result()
                for why in result.wrong:
                    outcome.set_aside.append((pin.path, why))
                    report(f"{pin.path}: {why}")
                if result.reason:
                    if not stop.is_set() or result.reason != STOPPED:
                        report(f"{pin.path}: {result.reason}")
                    outcome.failed.append((pin.path, result.reason))
                    unreached = unreached + 1 if result.unreached else 0
                else:
                    outcome.fetched += 1
                    outcome.fetched_bytes += pin.size
                    unreached = 0
                if unreached >= GIVE_UP_AFTER and not stop.is_set():
                    stop.set()
                    outcome.stopped = (
                        f"gave up: {unreached} files in a row could not be reached "
                        f"({result.reason})"
                    )
                now = time.monotonic()
                if now - last_report >= REPORT_EVERY_S:
                    last_report = now
                    report(_progress(outcome, len(missing), total, now - started))
        except BaseException:
            stop.set()
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    outcome.failed.sort()


def _progress(outcome: Fetched, files_in_all: int, total: int, seconds: float) -> str:
    rate = outcome.fetched_bytes / seconds if seconds else 0.0
    left = f", about {(total - outcome.fetched_bytes) / rate:.0f} s left" if rate else ""
    done = f"{outcome.fetched:,} of {files_in_all:,} files"
    return (
        f"{done}, {outcome.fetched_bytes / 1e6:.1f} of {total / 1e6:.1f} MB, "
        f"{rate / 1e6:.1f} MB/s{left}"
    )


STOPPED = "not tried: the download was stopped"


@dataclass
class _Result:
    reason: str = ""
    unreached: bool = False
    wrong: list[str] = field(default_factory=list)


class _Again(Exception):
    """A passing trouble: worth another attempt after `pause` seconds (None = the usual)."""

    def __init__(self, reason: str, pause: float | None = None, unreached: bool = False) -> None:
        super().__init__(reason)
        self.reason, self.pause, self.unreached = reason, pause, unreached


class _Never(Exception):
    """Another attempt would bring the same."""


def _one(root: Path, pin: Pinned, base_url: str | None, stop: threading.Event) -> _Result:
    """Fetch one file. Raises only if the disk refuses."""
    result = _Result()
    url = (base_url or pin.base_url).rstrip("/") + "/" + quote(pin.path)
    target = root / pin.path
    part = target.with_name(target.name + ".part")
    pause = PAUSE_S
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        for attempt in range(ATTEMPTS):
            if stop.is_set():
                result.reason = STOPPED
                return result
            try:
                _continue(url, part, pin, stop)
                wrong = _wrong(part, pin)
                if wrong == "":
                    _into_place(part, target)
                    result.reason = ""
                    return result
                kept = root / SET_ASIDE / f"{pin.path}.{attempt + 1}"
                kept.parent.mkdir(parents=True, exist_ok=True)
                pointer = wrong is not None and "LFS pointer" in wrong
                os.replace(part, kept)
                result.wrong.append(
                    f"what {url} served {wrong}; now in {kept.relative_to(root).as_posix()}"
                )
                result.reason = f"what {url} serves {wrong}"
                if pointer:
                    result.reason += "; name the address of the LFS files themselves (--base-url)"
                    return result
            except _Again as trouble:
                result.reason, result.unreached = trouble.reason, trouble.unreached
                stop.wait(min(pause if trouble.pause is None else trouble.pause, LONGEST_PAUSE_S))
                pause *= 2
        return result
    except _Never as error:
        result.reason, result.unreached = str(error), True
        return result
    except OSError as error:
        raise refused(target, error) from error


def _continue(url: str, part: Path, pin: Pinned, stop: threading.Event) -> None:
    """Bring `part` to its full size, going on where it stopped if the server can."""
    have = part.stat().st_size if part.exists() else 0
    if have >= pin.size:
        if have == pin.size:
            return
        part.unlink()
        have = 0
    headers = {"User-Agent": f"ambiemo/{__version__}", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    with _opened(url, headers, part) as response:
        going_on = response.status == 206 and response.headers.get("Content-Range", "").startswith(
            f"bytes {have}-"
        )
        if response.status == 206 and not going_on:
            part.unlink(missing_ok=True)
            raise _Again(f"{url}: sent another piece than asked for")
        promised = int(response.headers.get("Content-Length") or -1)
        received = 0
        with open(part, "ab" if going_on else "wb") as file:
            for data in _read(response, url):
                file.write(data)
                received += len(data)
                if stop.is_set():
                    raise _Never(STOPPED)
                if file.tell() > pin.size:
                    break  # something else is served: the hash will say so
            else:
                if received < promised:
                    raise _Again(f"{url}: broke off after {received:,} of {promised:,} bytes")


def _opened(url: str, headers: dict[str, str], part: Path) -> http.client.HTTPResponse:
    try:
        return urllib.request.urlopen(
            urllib.request.Request(url, headers=headers), timeout=TIMEOUT_S
        )
    except urllib.error.HTTPError as error:
        error.close()
        if error.code in (408, 425, 429, 500, 502, 503, 504):
            asked = error.headers.get("Retry-After", "")
            raise _Again(
                f"{url}: HTTP {error.code}",
                float(asked) if asked.isdigit() else None,
                unreached=True,
            ) from error
        if error.code == 416:  # what is there of the file does not fit what is served
            part.unlink(missing_ok=True)
            raise _Again(f"{url}: HTTP 416") from error
        raise _Never(f"{url}: HTTP {error.code} {error.reason}") from error
    except (
        urllib.error.URLError,
        TimeoutError,
        http.client.HTTPException,
        ConnectionError,
    ) as error:
        raise _Again(f"{url}: {getattr(error, 'reason', error)}", unreached=True) from error


def _read(response: http.client.HTTPResponse, url: str) -> Iterator[bytes]:
    try:
        while data := response.read(PIECE):
            yield data
    except (TimeoutError, http.client.HTTPException, ConnectionError) as error:
        raise _Again(f"{url}: broke off ({error or type(error).__name__})") from error


def _into_place(part: Path, target: Path) -> None:
    with open(part, "rb+") as file:
        os.fsync(file.fileno())
    os.replace(part, target)
    with suppress(OSError):
        part.unlink()
