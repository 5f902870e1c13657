"""`verify` names what does not hold in a bundle, and nothing that a stranger puts into one makes it
fall over.
"""

import gzip
import os
import shutil
import subprocess
from pathlib import Path

import bundle_sample as sample
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ambiemo.bundle import bag
from ambiemo.bundle.difference import first_difference
from ambiemo.bundle.folder import payload, read_listing, shown
from ambiemo.bundle.verify import Finding, examine, verify
from ambiemo.durable import sha256
from ambiemo.errors import BadInput

DIGEST = "0" * 64


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return sample.write(tmp_path / "sample")


def found_in(bundle: Path) -> list[Finding]:
    return verify(bundle, sample.recompute)


def only(findings: list[Finding], check: str) -> Finding:
    """The one finding of a check."""
    (finding,) = [finding for finding in findings if finding.check == check]
    return finding


def test_an_untouched_bundle_holds_in_every_check(bundle: Path) -> None:
    outcomes = examine(bundle, sample.recompute)
    assert [outcome.check for outcome in outcomes] == [
        "bag",
        "manifests",
        "checksums",
        "closed-world",
        "compression",
        "recomputation",
        "provenance",
        "signature",
    ]
    assert found_in(bundle) == []


def test_a_changed_file_is_named_with_both_hashes_and_the_line_that_lists_it(bundle: Path) -> None:
    (bundle / "data/README.md").write_bytes(b"changed")
    finding = only(found_in(bundle), "checksums")
    line = 1 + (bundle / bag.MANIFEST).read_text().splitlines().index(
        f"{sha256(sample.contents()['README.md'])}  data/README.md"
    )
    assert finding.file == "data/README.md"
    assert finding.found == f"sha256 {sha256(b'changed')}"
    assert (
        finding.expected
        == f"sha256 {sha256(sample.contents()['README.md'])} ({bag.MANIFEST}, line {line})"
    )


def test_a_file_added_inside_data_and_one_beside_it_are_both_found(bundle: Path) -> None:
    (bundle / "data/tables/extra.txt").write_text("")
    (bundle / "beside.txt").write_text("")
    found = {finding.file for finding in found_in(bundle) if finding.check == "closed-world"}
    assert found == {"data/tables/extra.txt", "beside.txt"}


def test_an_added_empty_folder_is_found(bundle: Path) -> None:
    (bundle / "data/nothing").mkdir()
    assert only(found_in(bundle), "closed-world") == Finding(
        "closed-world",
        "data/nothing",
        "an empty folder",
        "plain files only",
        only(found_in(bundle), "closed-world").advice,
    )


def test_a_file_replaced_by_a_link_to_the_same_bytes_is_found(bundle: Path, tmp_path: Path) -> None:
    table = bundle / "data/tables/results.csv"
    table.rename(tmp_path / "elsewhere.csv")
    table.symlink_to(tmp_path / "elsewhere.csv")
    found = [(finding.check, finding.file, finding.found) for finding in found_in(bundle)]
    assert ("checksums", "data/tables/results.csv", "a symbolic link") in found
    assert ("closed-world", "data/tables/results.csv", "a symbolic link") in found


def test_a_pipe_is_found_and_never_opened(bundle: Path) -> None:
    (bundle / "data/log/run.log").unlink()
    os.mkfifo(bundle / "data/log/run.log")  # opening it would wait for ever
    assert only(found_in(bundle), "closed-world").found == "a named pipe"


def test_a_link_to_a_folder_is_not_followed(bundle: Path) -> None:
    (bundle / "data/loop").symlink_to("..")
    assert only(found_in(bundle), "closed-world").file == "data/loop"


@pytest.mark.parametrize("name", ["bag-info.txt", bag.MANIFEST, bag.TAG_MANIFEST])
def test_a_missing_tag_file_is_named_once_a_check_and_not_once_a_file(
    bundle: Path, name: str
) -> None:
    (bundle / name).unlink()
    findings = found_in(bundle)
    assert any(finding.file == name and finding.found == "no such file" for finding in findings)
    assert len(findings) <= 2


@pytest.mark.parametrize("path", ["missing", "empty", "file", "sample/data"])
def test_what_is_no_bundle_is_unreadable_and_says_what_was_expected(
    tmp_path: Path, path: str
) -> None:
    sample.write(tmp_path / "sample")
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match="expected a bundle"):
        verify(tmp_path / path)


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        (f"{DIGEST}  ../outside", "inside the bundle"),
        (f"{DIGEST}  data/../../outside", "inside the bundle"),
        (f"{DIGEST}  /etc/passwd", "inside the bundle"),
        (f"{DIGEST}  ~/x", "inside the bundle"),
        (f"{DIGEST}  data//x", "inside the bundle"),
        (f"{DIGEST}  data\\x", "inside the bundle"),
        (f"{DIGEST}  bag-info.txt", "only paths below data/"),
        (f"{DIGEST}  data/README.md", "each path once"),
        (f"{DIGEST}  data/50%.csv", "%0A, %0D and %25"),
        (f"{DIGEST}  data/a\r", "64 lower-case hex"),
        (f"{DIGEST[:-1]}  data/a", "64 lower-case hex"),
        (f"{'A' * 64}  data/a", "64 lower-case hex"),
        (f"{DIGEST} *data/a", "64 lower-case hex"),
        (f"{DIGEST}\tdata/a", "64 lower-case hex"),
        ("", "64 lower-case hex"),
        ("\x1b[2J", "64 lower-case hex"),
    ],
)
def test_a_manifest_line_that_is_malformed_or_leaves_the_bundle_is_a_finding(
    bundle: Path, line: str, fault: str
) -> None:
    good = (bundle / bag.MANIFEST).read_bytes()
    (bundle / bag.MANIFEST).write_bytes(good + line.encode() + b"\n")
    finding = only(found_in(bundle), "manifests")
    assert finding.file == f"{bag.MANIFEST}, line {1 + len(good.splitlines())}"
    assert fault in finding.expected
    assert finding.found.isprintable()


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data.replace(b"\n", b"\r\n"),
        lambda data: b"\n".join(reversed(data.splitlines())) + b"\n",
        lambda data: data.removesuffix(b"\n"),
        lambda data: data + b"\n",
        lambda data: data.replace(b"  ", b" *"),
        lambda data: data.upper(),
        lambda data: b"\xef\xbb\xbf" + data,
        lambda data: b"\xff" + data[1:],
        lambda data: b"",
    ],
    ids=[
        "CRLF",
        "reordered",
        "no last line feed",
        "empty line",
        "binary marks",
        "upper case",
        "BOM",
        "no UTF-8",
        "empty",
    ],
)
@pytest.mark.parametrize("name", [bag.MANIFEST, bag.TAG_MANIFEST])
def test_a_manifest_in_any_other_form_is_a_finding_even_where_it_means_the_same(
    bundle: Path, name: str, change
) -> None:
    (bundle / name).write_bytes(change((bundle / name).read_bytes()))
    assert any(
        finding.check == "manifests" and name in finding.file for finding in found_in(bundle)
    )


def test_percent_codes_are_read_as_bagit_writes_them() -> None:
    names = {"data/50%.csv": DIGEST, "data/two\nlines": DIGEST, "data/cr\r": DIGEST}
    listing = read_listing(bag.MANIFEST, bag.manifest(names), payload=True)
    assert listing.digests == names
    assert listing.faults == []


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=300), name=st.sampled_from(sorted(sample.FILE_CLASSES.values())))
def test_no_bytes_in_any_file_make_verify_fall_over(bundle: Path, data: bytes, name: str) -> None:
    before = (bundle / name).read_bytes()
    (bundle / name).write_bytes(data)
    findings = found_in(bundle)
    (bundle / name).write_bytes(before)
    assert findings or data == before
    assert all(text.isprintable() for finding in findings for text in vars(finding).values())


def test_a_file_name_that_is_no_text_is_shown_and_harmless(bundle: Path) -> None:
    (bundle / os.fsdecode(b"data/\xff\x1b[2J\n.txt")).write_text("")
    name = only(found_in(bundle), "closed-world").file
    assert name.isprintable()
    assert name.startswith("data/")


@pytest.mark.parametrize("cut", [1, 8, 20])
def test_a_truncated_gz_file_is_found_even_where_its_checksum_was_made_again(
    tmp_path: Path, cut: int
) -> None:
    whole = sample.contents()["scores/tiny/tiny.jsonl.gz"]
    bundle = sample.forge(tmp_path / "forged", {"scores/tiny/tiny.jsonl.gz": whole[:-cut]})
    assert only(found_in(bundle), "compression").file == "data/scores/tiny/tiny.jsonl.gz"


def test_a_forged_table_value_with_all_checksums_made_again_is_found_by_recomputation(
    tmp_path: Path,
) -> None:
    table = sample.contents()["tables/results.csv"].decode()
    value = table.splitlines()[2].split(",")[1]
    forged = table.replace(value, "0.999999")
    bundle = sample.forge(tmp_path / "forged", {"tables/results.csv": forged.encode()})
    (finding,) = found_in(bundle)
    assert finding.check == "recomputation"
    assert finding.file == "data/tables/results.csv, line 3, column js_divergence_bits"
    assert finding.found == "0.999999"
    assert finding.expected == f"{value} (recomputed from the answers)"


def test_a_forged_prediction_is_found_by_line_and_key(tmp_path: Path) -> None:
    path = "predictions/tiny/tiny.jsonl.gz"
    rows = sample.unpacked(sample.contents()[path])
    rows[1]["value"] += 1e-9
    bundle = sample.forge(tmp_path / "forged", {path: sample.packed(rows)})
    assert only(found_in(bundle), "recomputation").file == f"data/{path}, line 2, value"


@pytest.mark.parametrize(
    ("changes", "file"),
    [
        ({"tables/results.md": None}, "data/tables/results.md"),
        ({"tables/better.csv": b"a\n1\n"}, "data/tables/better.csv"),
        ({"answers/tiny/tiny.jsonl.gz": None}, "data"),
        ({"answers/tiny/tiny.jsonl.gz": gzip.compress(b"{}\n")}, "data"),
        ({"answers/tiny/tiny.jsonl.gz": gzip.compress(b"not json")}, "data"),
    ],
    ids=[
        "a table left out",
        "a table too many",
        "no answers",
        "answers without a key",
        "answers that are no JSON",
    ],
)
def test_a_forgery_of_what_there_is_is_found_by_recomputation(
    tmp_path: Path, changes: dict, file: str
) -> None:
    findings = found_in(sample.forge(tmp_path / "forged", changes))
    assert [finding.file for finding in findings if finding.check == "recomputation"] == [file]


def test_predictions_packed_by_another_zlib_are_the_same_predictions(tmp_path: Path) -> None:
    path = "predictions/tiny/tiny.jsonl.gz"
    packed = gzip.compress(gzip.decompress(sample.contents()[path]), compresslevel=1, mtime=0)
    assert found_in(sample.forge(tmp_path / "other", {path: packed})) == []


def test_changing_an_answer_shows_in_every_table_it_feeds(tmp_path: Path) -> None:
    rows = sample.unpacked(sample.contents()["answers/tiny/tiny.jsonl.gz"])
    rows[0]["value"] = 100
    bundle = sample.forge(tmp_path / "forged", {"answers/tiny/tiny.jsonl.gz": sample.packed(rows)})
    files = {finding.file.split(",")[0] for finding in found_in(bundle)}
    assert files == {
        "data/predictions/tiny/tiny.jsonl.gz",
        "data/tables/results.csv",
        "data/tables/results.md",
    }


@pytest.mark.parametrize(
    ("path", "found", "expected", "difference"),
    [
        ("t.csv", "a,b\n1,2\n", "a,b\n1,3\n", ("line 2, column b", "2", "3")),
        ("t.csv", "a,b\n1\n", "a,b\n1,3\n", ("line 2, column b", "nothing", "3")),
        ("t.csv", "a,b\n1,2\n", "a,b\n", ("line 2", "1,2", "nothing")),
        ("t.csv", "a,c\n", "a,b\n", ("line 1, column 2", "c", "b")),
        ("t.csv", 'a\n"1"\n', "a\n1\n", ("line 2", '"1"', "1")),
        ("t.jsonl", '{"a": 1}\n', '{"a": 2}\n', ("line 1, a", "1", "2")),
        ("t.jsonl", '{"a": NaN, "b": 1}\n', '{"a": NaN, "b": 2}\n', ("line 1, b", "1", "2")),
        ("t.jsonl", '{"a":1}\n', '{"a": 1}\n', ("line 1", '{"a":1}', '{"a": 1}')),
        ("t.jsonl", "{}\n{}\n", "{}\n", ("line 2", "{}", "nothing")),
        ("t.md", "x\ny\n", "x\nz\n", ("line 2", "y", "z")),
        ("t.md", "x", "x\n", ("line 2", "nothing", "an empty line")),
    ],
)
def test_the_first_difference_is_told_as_a_person_would_look_for_it(
    path: str, found: str, expected: str, difference: tuple
) -> None:
    assert first_difference(path, found.encode(), expected.encode()) == difference
    assert first_difference(path, expected.encode(), expected.encode()) is None


@given(
    st.binary(max_size=60),
    st.binary(max_size=60),
    st.sampled_from(["a.csv", "a.jsonl", "a.md", "a.jsonl.gz", "a"]),
)
def test_any_two_different_files_have_a_difference_and_any_file_has_none_with_itself(
    found: bytes, expected: bytes, path: str
) -> None:
    assert (first_difference(path, found, expected) is None) == (found == expected)
    assert first_difference(path, found, found) is None


def test_text_of_unknown_origin_is_shown_on_one_line() -> None:
    assert shown("a\x1b[31m\r\n\ud800b") == "a\\x1b[31m\\r\\n\\ud800b"
    assert len(shown("x" * 10_000)) < 200


def test_payload_reads_what_is_below_data_when_asked(bundle: Path) -> None:
    files = payload(bundle)
    assert dict(files) == sample.contents()
    with pytest.raises(KeyError):
        files["../bagit.txt"]


def test_a_wrong_payload_oxum_is_named(bundle: Path) -> None:
    info = (bundle / "bag-info.txt").read_text().replace("Payload-Oxum: ", "Payload-Oxum: 1")
    (bundle / "bag-info.txt").write_text(info)
    assert only(found_in(bundle), "bag").file == "bag-info.txt"


def sign(bundle: Path, key: Path) -> None:
    """Sign a bundle as docs/bundle.md says."""
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(key)], check=True
    )
    subprocess.run(
        [
            "ssh-keygen",
            "-q",
            "-Y",
            "sign",
            "-f",
            str(key),
            "-n",
            "ambiemo-bundle",
            str(bundle / bag.TAG_MANIFEST),
        ],
        check=True,
        stderr=subprocess.DEVNULL,
    )
    (bundle / "allowed_signers").write_text(f"authors {key.with_suffix('.pub').read_text()}")


def test_a_signed_bundle_holds_and_one_changed_after_signing_does_not(
    bundle: Path, tmp_path: Path
) -> None:
    sign(bundle, tmp_path / "key")
    assert found_in(bundle) == []
    forged = sample.forge(tmp_path / "forged", {"log/run.log": b"nothing happened\n"})
    for name in bag.SIGNATURE:
        shutil.copy(bundle / name, forged / name)
    assert [finding.check for finding in found_in(forged)] == ["signature"]


def test_files_named_like_a_signature_are_no_way_in(bundle: Path) -> None:
    (bundle / bag.SIGNATURE[0]).write_text("x")
    assert only(found_in(bundle), "closed-world").file == bag.SIGNATURE[0]
    (bundle / bag.SIGNATURE[1]).write_text("x")
    assert only(found_in(bundle), "signature").file == bag.SIGNATURE[0]


def test_a_signature_that_cannot_be_checked_does_not_pass_for_a_good_one(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sign(bundle, tmp_path / "key")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "ssh-keygen" in only(found_in(bundle), "signature").advice
