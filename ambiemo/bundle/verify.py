"""Checks whether a bundle holds, from its folder alone, and trusts nothing it says about itself.

The table of checks below asks: is it a bag, are its manifests well formed, is every listed file
there and unchanged, is nothing there that is not listed, does every compressed file unpack, do
predictions and tables follow from the answers, does the provenance speak of these files, is a
signature good. The sixth is the one that a forger cannot pass by recomputing the checksums.
"""

import json
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from ambiemo.bundle.bag import DECLARATION, MANIFEST, SIGNATURE, TAG_MANIFEST
from ambiemo.bundle.difference import Difference, first_difference
from ambiemo.bundle.folder import (
    Disk,
    Files,
    Listing,
    OtherFormat,
    look,
    payload_of,
    read_listing,
    unreadable,
)
from ambiemo.bundle.provenance import provenance
from ambiemo.bundle.signing import SIGNER, signature
from ambiemo.durable import CHUNK, sha256_file
from ambiemo.errors import AmbiemoError, BadInput, shown
from ambiemo.jsonlines import GZIP_ERRORS
from ambiemo.limits import ROWS_FILE, TooMuch, check_unpacked, open_regular, parse_yaml

Recompute = Callable[[Mapping[str, bytes]], Mapping[str, bytes | Difference | None]]
"""Files below `data/` -> what follows from them: a file's bytes, or how the bundle's own differs
from them.
"""
OURS = ("README.md", "config/claims.yaml", "verify.py")
DERIVED = ("predictions/", "tables/")  # nothing may lie here that the answers do not give
TAGS = ("bag-info.txt", "bagit.txt", MANIFEST)
PROVENANCE = ("provenance/statement.json", "ro-crate-metadata.json")
AGAIN = "get the bundle again from its source, or run its plan again"


@dataclass(frozen=True)
class Finding:
    """One thing that does not hold: which check, in which file, what was found and expected there,
    what to do.
    """

    check: str
    file: str
    found: str
    expected: str
    advice: str = AGAIN


@dataclass(frozen=True)
class Outcome:
    """One check's name, its title for people, and what it found (nothing: it holds)."""

    check: str
    title: str
    findings: tuple[Finding, ...]


@dataclass(frozen=True)
class Bundle:
    """What the checks look at: the folder, its two manifests (None where one is not there), and how
    to recompute.
    """

    disk: Disk
    payload: Listing | None
    tags: Listing | None
    recompute: Recompute
    signers: Path | None = None

    @property
    def listings(self) -> list[Listing]:
        return [listing for listing in (self.payload, self.tags) if listing is not None]


def verify(folder: Path | str, recompute: Recompute | None = None) -> list[Finding]:
    """Everything in a bundle that does not hold; an empty list means that it holds.

    recompute: contents below `data/` -> the derived files among them; by default that of
    `bundle.recomputing`. Raises BadInput where there is no bundle or this user may not read it.
    """
    return [finding for outcome in examine(folder, recompute) for finding in outcome.findings]


def examine(
    folder: Path | str,
    recompute: Recompute | None = None,
    signers: Path | None = None,
    checks: "Sequence[Check] | None" = None,
) -> list[Outcome]:
    """The outcome of every check of `CHECKS`, in that order; arguments and errors as for `verify`.

    signers: a file of allowed signers; then the bundle must be signed by one of them.
    checks: some of them, in place of all.
    """
    disk = look(folder)
    bundle = Bundle(
        disk,
        listing(disk, MANIFEST, True),
        listing(disk, TAG_MANIFEST, False),
        recompute or from_results,
        signers,
    )
    return [
        Outcome(name, title, tuple(Finding(name, *finding) for finding in run(bundle)))
        for name, title, run in (CHECKS if checks is None else checks)
    ]


def listing(disk: Disk, name: str, payload: bool) -> Listing | None:
    """A manifest of the bundle, None where it is not a file of it."""
    return read_listing(name, disk.read(name), payload) if name in disk.files else None


def from_results(files: Mapping[str, bytes]) -> Mapping[str, bytes | Difference | None]:
    """Everything that this package derives from a bundle's answers, and its own texts; imported
    only when it is needed.

    The second verifier and the README are compared, too: a stranger runs and reads them.
    """
    from ambiemo.bundle.recomputing import recompute
    from ambiemo.bundle.shipped import readme, verifier

    derived = recompute(files)
    name = parse_yaml(files["config/plan.yaml"].decode("utf-8"))["name"]
    return {**derived, "verify.py": verifier(), "README.md": readme(name).encode("utf-8")}


Findings = Iterator[tuple[str, str, str] | tuple[str, str, str, str]]


def declared(bundle: Bundle) -> Findings:
    """bagit.txt says BagIt 1.0, every tag file is there, and bag-info.txt counts the payload
    right.
    """
    if (content := bundle.disk.read("bagit.txt")) != DECLARATION:
        yield (
            "bagit.txt",
            shown(content.decode("utf-8", "backslashreplace")),
            shown(DECLARATION.decode()),
        )
    for name in (*TAGS, TAG_MANIFEST):
        if name not in bundle.disk.files:
            yield name, bundle.disk.strange.get(name, "no such file"), "a file"
    if not any(path.startswith("data/") for path in bundle.disk.files):
        yield "data", "no files", "the payload"
    if "bag-info.txt" in bundle.disk.files:
        yield from oxum(bundle.disk)


def oxum(disk: Disk) -> Findings:
    """`Payload-Oxum` of bag-info.txt is octets.files of what lies in data/."""
    sizes = [size for path, size in disk.files.items() if path.startswith("data/")]
    expected = f"Payload-Oxum: {sum(sizes)}.{len(sizes)}"
    lines = disk.read("bag-info.txt").decode("utf-8", "backslashreplace").split("\n")
    matches = [line for line in lines if line.lower().startswith("payload-oxum")]
    if matches != [expected]:
        yield (
            "bag-info.txt",
            shown("; ".join(matches)) or "no Payload-Oxum",
            f"{expected} (bytes and files now in data/)",
        )


def well_formed(bundle: Bundle) -> Findings:
    """Both manifests have the one form that a bundle's manifests have, and name only what they may
    name.
    """
    for each in bundle.listings:
        for number, content, expected in each.faults:
            yield f"{each.name}, line {number}" if number else each.name, content, expected
    if bundle.tags is not None:
        for name in TAGS:
            if name not in bundle.tags.digests:
                yield TAG_MANIFEST, f"no line for {name}", f"a line for {name}"
        for name in sorted(
            bundle.tags.digests.keys() - set(TAGS)
        ):  # no run writes such a file, even if a manifest lists it
            yield (
                shown(name),
                "a file that no bundle has next to data/",
                f"only {', '.join(TAGS)} and {TAG_MANIFEST}",
            )


def unchanged(bundle: Bundle) -> Findings:
    """Every listed file is there and has the listed hash."""
    for each in bundle.listings:
        for path, digest in each.digests.items():
            source = f"({each.name}, line {each.line[path]})"
            if path not in bundle.disk.files:
                yield shown(path), bundle.disk.strange.get(path, "no such file"), f"a file {source}"
            elif (file_digest := hashed(bundle.disk.root / path)) != digest:
                yield shown(path), f"sha256 {file_digest}", f"sha256 {digest} {source}"


def hashed(path: Path) -> str:
    """Hex SHA-256 of a file, BadInput where this user may not read it."""
    try:
        return sha256_file(path)
    except OSError as error:
        raise unreadable(path, error) from error


def closed(bundle: Bundle) -> Findings:
    """Nothing is there that no manifest lists; a signature, made last, comes with its list of
    signers or not at all.
    """
    known = {TAG_MANIFEST}.union(*(each.digests for each in bundle.listings))
    if all(name in bundle.disk.files for name in SIGNATURE):
        known |= set(SIGNATURE)
    incomplete = {each.name for each in bundle.listings if each.faults} | {
        name
        for name, each in ((MANIFEST, bundle.payload), (TAG_MANIFEST, bundle.tags))
        if each is None
    }
    for path in sorted(bundle.disk.files):
        manifest = MANIFEST if path.startswith("data/") else TAG_MANIFEST
        if (
            path not in known and manifest not in incomplete
        ):  # else its fault is reported already, once and not per file
            yield (
                shown(path),
                "a file that no manifest lists",
                "no such file",
                "move it out of the bundle, or " + AGAIN,
            )
    for path, what in sorted(bundle.disk.strange.items()):
        yield shown(path), what, "plain files only", "move it out of the bundle, or " + AGAIN


GZIP_HEAD = b"\x1f\x8b\x08\0\0\0\0\0"
"""Deflate, no flags (no name, comment or extra field), no time: nothing that is not unpacked."""


def readable(bundle: Bundle) -> Findings:
    """Every .gz file unpacks to its end, and holds nothing else: one member without name, comment
    or time, and no byte behind it.
    """
    for path in sorted(path for path in bundle.disk.files if path.endswith(".gz")):
        try:
            extra = unpacked_and_extra(bundle.disk.root / path)
        except (*GZIP_ERRORS, TooMuch) as error:
            yield shown(path), str(error), "a whole gzip file"
        else:
            if extra:
                yield shown(path), extra, "one gzip member and no more, as a run packs it"


def unpacked_and_extra(path: Path) -> str:
    """Unpack a gzip file to its end; what it contains in addition to one member's data, "" for
    nothing. Raises one of GZIP_ERRORS where it does not unpack, or to too much, and TooMuch for
    what is no regular file.
    """
    with open_regular(path, ROWS_FILE, follow=False) as file:
        head, total, behind = file.read(len(GZIP_HEAD)), 0, b""
        file.seek(0)
        inflate = zlib.decompressobj(wbits=31)
        while not behind and (block := file.read(CHUNK)):
            while block and not inflate.eof:
                total += len(inflate.decompress(block, CHUNK))
                check_unpacked(total, file.tell())
                block = inflate.unconsumed_tail
            behind = inflate.unused_data or block
    if not inflate.eof:
        raise EOFError("Compressed file ended before the end-of-stream marker was reached")
    if head != GZIP_HEAD:
        return "a header with a name, a comment, a time or more"
    return "bytes behind the end of the compressed data" if behind else ""


def recomputed(bundle: Bundle) -> Findings:
    """Predictions and tables, made again from the answers in the bundle, are the bundle's to the
    last byte.
    """
    files = payload_of(bundle.disk)
    try:
        derived = bundle.recompute(files)
    except OtherFormat:
        raise
    except Exception as error:  # whatever error a forged file causes, the bundle is broken
        message = (
            str(error)
            if isinstance(error, AmbiemoError)
            else f"data: {type(error).__name__}: {error}"
        )
        file, _, why = (
            message.partition(": ") if message.startswith("data") else ("data", "", message)
        )
        yield shown(file), shown(why, 400), "what predictions and tables can be made from"
        return
    for path, expected in sorted(derived.items()):
        if path not in files:
            yield f"data/{path}", "no such file", "a file, as the answers give one"
        elif difference := (
            first_difference(path, files[path], expected)
            if isinstance(expected, bytes)
            else expected
        ):
            why = "this package's own" if path in OURS else "recomputed from the answers"
            yield (
                f"data/{path}, {difference.where}",
                difference.found,
                f"{difference.expected} ({why})",
            )
    for path in files:
        if path.startswith(DERIVED) and path not in derived:
            yield shown(f"data/{path}"), "a file that the answers do not give", "no such file"


def stated(bundle: Bundle) -> Findings:
    """Statement, RO-Crate and bag-info.txt are what the other files give, to the last byte."""
    files = payload_of(bundle.disk)
    stale = list(hashes_of(files))
    yield from stale
    named = {finding[0].partition(",")[0] for finding in stale}
    if "config/plan.yaml" not in files:  # the recomputation has said so
        return
    info = info_of(bundle.disk)
    if "bag-info.txt" in bundle.disk.files:
        form = "".join(f"{label}: {text}\n" for label, text in sorted(info.items())).encode()
        if bundle.disk.read("bag-info.txt") != form:
            yield (
                "bag-info.txt",
                "lines in another order, a label twice or none",
                "each label once, sorted, as docs/bundle.md has them",
            )
    try:
        date = info.get("Bagging-Date")
        if date and datetime.fromisoformat(date).date().isoformat() != date:
            yield "bag-info.txt", shown(f"Bagging-Date: {date}"), "a day such as 2026-11-28"
        epoch = (
            f"{datetime.fromisoformat(date).replace(tzinfo=UTC).timestamp():.0f}" if date else ""
        )
        yield from described(info, parse_yaml(files["config/plan.yaml"].decode("utf-8")))
        others = {path: place for path, place in files.places.items() if path not in PROVENANCE}
        for path, expected in provenance(Files(others), {"SOURCE_DATE_EPOCH": epoch}).items():
            if (
                path in files
                and f"data/{path}" not in named
                and (difference := first_difference(path, files[path], expected))
            ):
                yield (
                    f"data/{path}, {difference.where}",
                    difference.found,
                    f"{difference.expected} (the other files give it)",
                )
    except Exception as error:  # as for the recomputation: a forged file may cause any error
        yield (
            "data/provenance",
            shown(f"{type(error).__name__}: {error}", 400),
            "files from which provenance can be made again",
        )


def info_of(disk: Disk) -> dict[str, str]:
    """Labels and texts of bag-info.txt."""
    text = (
        disk.read("bag-info.txt").decode("utf-8", "backslashreplace")
        if "bag-info.txt" in disk.files
        else ""
    )
    return {
        label: value
        for label, _, value in (line.partition(": ") for line in text.split("\n"))
        if label
    }


def described(info: Mapping[str, str], plan: Mapping[str, str]) -> Findings:
    """bag-info.txt says of the bundle what the plan says, and nothing else."""
    from ambiemo.bundle.bag import one_line

    expected = {
        "External-Identifier": plan["name"],
        "External-Description": one_line("External-Description", plan["title"] or plan["name"]),
    }
    for label, text in info.items():
        if label not in {*expected, "Bagging-Date", "Payload-Oxum"}:
            yield "bag-info.txt", shown(f"{label}: {text}"), "only what docs/bundle.md lists"
        elif text != expected.get(label, text):
            yield (
                "bag-info.txt",
                shown(f"{label}: {text}"),
                f"{label}: {expected[label]} (config/plan.yaml)",
            )


def hashes_of(files: Files) -> Findings:
    """Where a provenance statement or an RO-Crate is there, the hashes in it are those of the files
    it speaks of.
    """
    for path, claims in (
        ("provenance/statement.json", subjects),
        ("ro-crate-metadata.json", entities),
    ):
        if path not in files:
            continue
        try:
            for name, digest in claims(json.loads(files[path])):
                file_digest = files.sha256(name) if name in files else "no such file"
                if file_digest != digest:
                    yield (
                        f"data/{path}, {shown(name)}",
                        shown(str(digest)),
                        f"{file_digest} (the file)",
                    )
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            yield (
                f"data/{path}",
                shown(f"{type(error).__name__}: {error}"),
                "JSON as docs/bundle.md describes it",
            )


def subjects(statement: dict) -> Iterator[tuple[str, str]]:
    """Path and SHA-256 of every file of the bundle that an in-toto statement is about."""
    for one in [
        *statement["subject"],
        *statement.get("predicate", {}).get("runDetails", {}).get("byproducts", []),
    ]:
        yield one["name"], one["digest"]["sha256"]


def entities(crate: dict) -> Iterator[tuple[str, str]]:
    """Path and SHA-256 of every file that an RO-Crate describes."""
    for one in crate["@graph"]:
        if one["@type"] == "File":
            yield one["@id"], one["sha256"]


def signed(bundle: Bundle) -> Findings:
    """A signature over the tag manifest, where there is one, is by a key that the bundle's
    allowed_signers names.

    If the reader gives a list of signers, there must be one, by a key of that list.
    """
    try:
        state = signature(bundle.disk, bundle.signers)
    except BadInput as error:
        if bundle.signers is not None:
            raise
        yield (
            SIGNATURE[0],
            shown(str(error)),
            "a good signature",
            "install ssh-keygen (OpenSSH 8.2 or newer), or verify a copy without the two files",
        )
        return
    if state.wrong:
        yield SIGNATURE[0], state.wrong, f"{SIGNER}'s signature over {TAG_MANIFEST}"
    elif bundle.signers is not None and not state.name:
        yield SIGNATURE[0], state.words(), f"a signature by a key of {shown(str(bundle.signers))}"


Check = tuple[str, str, Callable[[Bundle], Findings]]
"""A check's name, its title for people, and the function that yields its findings."""

CHECKS: tuple[Check, ...] = (
    ("bag", "it is a BagIt 1.0 bag", declared),
    ("manifests", "the manifests are well formed", well_formed),
    ("checksums", "every listed file is there, unchanged", unchanged),
    ("closed-world", "nothing else is there", closed),
    ("compression", "every compressed file unpacks", readable),
    ("recomputation", "predictions and tables follow from the answers", recomputed),
    ("provenance", "provenance is what these very files give", stated),
    ("signature", "a signature, if there is one, is good", signed),
)
