"""`ambiemo data fetch` against a server on this machine."""

import hashlib
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from click.testing import CliRunner

from ambiemo.cli import main
from ambiemo.corpora import fetching
from ambiemo.corpora.fetching import Fetched, Pinned, fetch
from ambiemo.errors import BadInput

FILES = {
    f"AudioWAV/{i:04d}.wav": hashlib.sha256(str(i).encode()).digest() * (500 + i) for i in range(6)
}
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 72862\n"


class Server:
    """Serves FILES; `wrong`, `cut` and `busy` name paths to serve otherwise, and how many times."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self.ranges: list[str] = []
        self.serve = dict(FILES)
        self.wrong: dict[str, tuple[bytes, int]] = {}
        self.cut: Counter[str] = Counter()
        self.busy: Counter[str] = Counter()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: object) -> None:
                pass

            def do_GET(self) -> None:
                path = self.path.lstrip("/")
                outer.asked[path] += 1
                data = outer.serve.get(path)
                if outer.busy[path] > 0:
                    outer.busy[path] -= 1
                    return self.send_error(503)
                if data is None:
                    return self.send_error(404)
                other, times = outer.wrong.get(path, (b"", 0))
                if times > 0:
                    outer.wrong[path] = (other, times - 1)
                    data = other
                asked = self.headers.get("Range")
                start = 0
                if asked:
                    outer.ranges.append(asked)
                    start = int(asked.removeprefix("bytes=").rstrip("-"))
                    self.send_response(206)
                    self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
                else:
                    self.send_response(200)
                body = data[start:]
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if outer.cut[path] > 0:
                    outer.cut[path] -= 1
                    body = body[: len(body) // 2]
                    self.close_connection = True
                self.wfile.write(body)
                return None

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    running = Server()
    pins = [
        Pinned(path, hashlib.sha256(data).hexdigest(), len(data), "")
        for path, data in FILES.items()
    ]
    monkeypatch.setattr(fetching, "pinned_files", lambda name: pins)
    monkeypatch.setattr(fetching, "PAUSE_S", 0.01)
    yield running
    running.http.shutdown()
    running.http.server_close()


def right(root: Path) -> list[str]:
    return [
        path
        for path, data in FILES.items()
        if (root / path).is_file() and (root / path).read_bytes() == data
    ]


def test_every_file_arrives_and_a_second_fetch_asks_for_none(
    server: Server, tmp_path: Path
) -> None:
    first = fetch("crema-d", tmp_path, base_url=server.url)
    asked = server.asked.total()
    second = fetch("crema-d", tmp_path, base_url=server.url)
    assert first.whole
    assert right(tmp_path) == list(FILES)
    assert (second.there, second.fetched, server.asked.total()) == (6, 0, asked)
    assert not list(tmp_path.rglob("*.part"))


def test_a_wrong_file_is_named_set_aside_and_fetched_again(server: Server, tmp_path: Path) -> None:
    path = tmp_path / "AudioWAV/0002.wav"
    path.parent.mkdir()
    path.write_bytes(FILES["AudioWAV/0002.wav"][:-1] + b"!")
    said: list[str] = []
    outcome = fetch("crema-d", tmp_path, base_url=server.url, report=said.append)
    assert outcome.whole
    assert right(tmp_path) == list(FILES)
    assert [name for name, _ in outcome.set_aside] == ["AudioWAV/0002.wav"]
    assert (tmp_path / "set-aside/AudioWAV/0002.wav").read_bytes().endswith(b"!")
    assert any("AudioWAV/0002.wav" in line and "SHA-256" in line for line in said)


def test_a_wrong_download_never_takes_the_files_place_and_the_next_try_may_be_right(
    server: Server, tmp_path: Path
) -> None:
    server.wrong["AudioWAV/0001.wav"] = (b"x" * len(FILES["AudioWAV/0001.wav"]), 1)
    outcome = fetch("crema-d", tmp_path, base_url=server.url)
    assert outcome.whole
    assert right(tmp_path) == list(FILES)
    assert outcome.set_aside[0][0] == "AudioWAV/0001.wav"


def test_a_partial_corpus_says_how_partial_and_goes_on_later(
    server: Server, tmp_path: Path
) -> None:
    gone = server.serve.pop("AudioWAV/0004.wav")
    outcome = fetch("crema-d", tmp_path, base_url=server.url)
    text = "\n".join(fetching.lines(outcome))
    assert not outcome.whole
    assert "5 of 6 files" in text
    assert "AudioWAV/0004.wav" in text
    assert "HTTP 404" in text
    assert "partial" in text
    server.serve["AudioWAV/0004.wav"] = gone
    again = fetch("crema-d", tmp_path, base_url=server.url)
    assert (again.there, again.fetched, again.whole) == (5, 1, True)


def test_a_broken_off_download_goes_on_where_it_stopped(server: Server, tmp_path: Path) -> None:
    server.cut["AudioWAV/0005.wav"] = 1
    outcome = fetch("crema-d", tmp_path, base_url=server.url)
    half = len(FILES["AudioWAV/0005.wav"]) // 2
    assert outcome.whole
    assert server.ranges == [f"bytes={half}-"]
    assert outcome.set_aside == []


def test_a_download_killed_earlier_goes_on_from_its_part(server: Server, tmp_path: Path) -> None:
    part = tmp_path / "AudioWAV/0003.wav.part"
    part.parent.mkdir()
    part.write_bytes(FILES["AudioWAV/0003.wav"][:100])
    assert fetch("crema-d", tmp_path, base_url=server.url).whole
    assert server.ranges == ["bytes=100-"]
    assert right(tmp_path) == list(FILES)


def test_a_part_of_something_else_is_caught_by_the_hash(server: Server, tmp_path: Path) -> None:
    part = tmp_path / "AudioWAV/0003.wav.part"
    part.parent.mkdir()
    part.write_bytes(b"?" * 100)
    outcome = fetch("crema-d", tmp_path, base_url=server.url)
    assert outcome.whole
    assert right(tmp_path) == list(FILES)
    assert len(outcome.set_aside) == 1


def test_an_lfs_pointer_is_told_from_a_damaged_file_on_disk_and_on_the_wire(
    server: Server, tmp_path: Path
) -> None:
    path = tmp_path / "AudioWAV/0000.wav"
    path.parent.mkdir()
    path.write_bytes(POINTER)
    server.wrong["AudioWAV/0001.wav"] = (POINTER, 99)
    outcome = fetch("crema-d", tmp_path, base_url=server.url)
    assert "Git LFS pointer" in dict(outcome.set_aside)["AudioWAV/0000.wav"]
    assert right(tmp_path) == [name for name in FILES if name != "AudioWAV/0001.wav"]
    assert [name for name, why in outcome.failed if "Git LFS pointer" in why] == [
        "AudioWAV/0001.wav"
    ]
    assert server.asked["AudioWAV/0001.wav"] == 1


def test_a_busy_server_is_asked_again(server: Server, tmp_path: Path) -> None:
    server.busy["AudioWAV/0002.wav"] = 2
    assert fetch("crema-d", tmp_path, base_url=server.url).whole
    assert server.asked["AudioWAV/0002.wav"] == 3


def test_a_server_that_is_not_there_is_given_up_on(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "GIVE_UP_AFTER", 2)
    outcome = fetch("crema-d", tmp_path, base_url="http://127.0.0.1:9", jobs=1)
    assert "gave up" in outcome.stopped
    assert any(why == fetching.STOPPED for _, why in outcome.failed)
    assert not outcome.whole


def test_only_matching_files_are_fetched(server: Server, tmp_path: Path) -> None:
    outcome = fetch("crema-d", tmp_path, base_url=server.url, match="*/0001*")
    assert right(tmp_path) == ["AudioWAV/0001.wav"]
    assert "asked for 1 of the 6" in "\n".join(fetching.lines(outcome))


def test_the_command_exits_1_when_a_file_is_missing(server: Server, tmp_path: Path) -> None:
    server.serve.pop("AudioWAV/0004.wav")
    result = CliRunner().invoke(
        main, ["data", "fetch", "crema-d", "--root", str(tmp_path), "--base-url", server.url]
    )
    assert result.exit_code == 1
    assert "5 of 6 files" in result.output


@pytest.mark.parametrize("name", ["iemocap", "msp-podcast"])
def test_a_licensed_corpus_is_not_fetched_but_where_to_ask_is_said(
    name: str, tmp_path: Path
) -> None:
    result = CliRunner().invoke(main, ["data", "fetch", name, "--root", str(tmp_path / "new")])
    assert result.exit_code == 2
    assert "https://" in result.output
    assert "put into" in result.output
    assert len(result.output.strip().splitlines()) == 1
    assert not (tmp_path / "new").exists()


def test_an_open_corpus_without_pinned_hashes_is_not_fetched_unchecked(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no hash of its files is pinned"):
        fetch("emov-db", tmp_path)


def test_the_owners_manifest_of_crema_d_is_whole() -> None:
    pins = {pin.path: pin for pin in fetching.pinned_files("crema-d")}
    audio = [pin for path, pin in pins.items() if path.startswith("AudioWAV/")]
    assert len(audio) == 7442
    assert len({pin.sha256 for pin in audio}) == 7439
    assert round(sum(pin.size for pin in audio) / 1e6, 1) == 605.9
    assert all(pin.base_url.startswith("https://media.") for pin in audio)
    assert pins["processedResults/tabulatedVotes.csv"].base_url.startswith("https://raw.")


@pytest.mark.parametrize(
    ("name", "folder", "n"), [("crema-d", "crema_d", 14), ("emodb", "emodb", 167)]
)
def test_the_pinned_hashes_are_those_of_the_real_files(
    shared_data: Path, name: str, folder: str, n: int
) -> None:
    outcome = Fetched(name, shared_data, 0, 0)
    here = [
        pin for pin in fetching.pinned_files(name) if (shared_data / folder / pin.path).is_file()
    ]
    assert [fetching._wrong(shared_data / folder / pin.path, pin) for pin in here] == [""] * n
    assert outcome.set_aside == []


def test_a_corpus_without_an_address_for_single_files_is_checked_and_the_archive_named(
    tmp_path: Path,
) -> None:
    outcome = fetch("emodb", tmp_path)
    text = "\n".join(fetching.lines(outcome))
    assert (outcome.whole, len(outcome.failed)) == (False, 167)
    assert "unpack it into" in text
    assert "hashes are known for 167 of the 535 clips" in text


def test_an_address_that_is_not_of_the_web_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="expected an address that begins with http"):
        fetch("crema-d", tmp_path, base_url="file:///etc")
    with pytest.raises(BadInput, match="no file matches 'Video"):
        fetch("crema-d", tmp_path, match="Video/*")
    with pytest.raises(BadInput, match="nothing to fetch"):
        fetch("tiny", tmp_path)
