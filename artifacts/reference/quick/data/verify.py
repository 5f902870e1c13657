#!/usr/bin/env python3
"""Check the numbers of this bundle without the package that made it.

    python3 -I data/verify.py [BUNDLE]     exit 0: it holds; 1: it is broken; 2: it cannot be read

One file, Python's standard library only (3.9 or newer). It was written from docs/bundle.md,
docs/metrics.md, docs/strategies.md and docs/claims.md, not from the package's code, and imports
nothing of it. -I keeps Python from importing other files of this folder. It reads format 2 and
asks:

  - Is everything that the plan asks for there, once? Cells, questions, utterances, answers, scores.
  - Does each answer belong to its question? Key and seed of every draw are recomputed.
  - Does each prediction follow from the answers? All are recomputed where answers are plain JSON.
  - Do the tables follow? Every count, value, interval, p and verdict of all of them.
  - Do the claims follow? Each one of config/claims.yaml is estimated and decided again.

It does not read answers that need repair (near-JSON, prose). Predictions that rest on them are
taken as given and counted; if they are more than half, the bundle is called broken. It does not
recompute the bootstrap bounds of ece_5 and ece_10, results.md, or exact bytes; `ambiemo verify`
does. A line of its output names everything that it could not check in this bundle.
Checksums are for `sha256sum -c` (README.md in this folder).

Its sections: errors and findings; files; JSON; the plan and the claims file; from an answer's text
to a distribution; from candidates to one prediction; votes, levels, metrics; intervals and p
values; known hashes; the study; one unit; more samples; tables; claims; everything.

Answers are read as a stream, one utterance at a time, so large bundles need little memory.
"""

# ruff: noqa: B905, SIM108, SIM905 (zip's `strict` is newer than Python 3.9)

# No import may come before this: without -I, `import csv` would take data/csv.py.
import sys

if __name__ == "__main__" and not sys.flags.isolated and not getattr(sys.flags, "safe_path", False):
    del sys.path[0]

import csv
import hashlib
import json
import math
import os
import re
import stat
import struct
import zlib
from array import array
from fractions import Fraction
from functools import lru_cache
from itertools import combinations, compress
from operator import add, itemgetter, sub
from typing import Any

FORMAT = 2

# Limits. Nothing in a bundle that a run writes comes near them.
MIB = 2**20
LONGEST_LINE = 16 * MIB
LARGEST_TABLE = 64 * MIB
LARGEST_DOCUMENT = 8 * MIB  # JSON documents, the plan, prompts: files that are read whole
LONGEST_ROW = MIB  # characters of a row that is not an answer
MOST_UTTERANCES = 2_000_000  # of a corpus
LARGEST_UNPACKED = 64 * 2**30
LARGEST_RATIO = 1000  # unpacked bytes per packed byte, and 1 MiB
MOST_FILES = 100_000
LARGEST_PANEL = 100  # raters
LEAST_RATERS = 4  # of a clip whose raters are split
LEAST_SHARE = 0.8  # of the clips must have that many
MOST_HALVES = 5000  # of a clip's raters, docs/metrics.md
MOST_SPLITS = 20_000_000  # of all kinds of votes of a corpus
WIDEST_SPLIT = 100  # labels
MOST_STEPS = 100_000_000  # of the search for another speaker's clips
DEEPEST_FOLDER = 8
MOST_DIGITS = 30  # of an integer in a document
LONGEST_ANSWER = 100_000  # characters; a longer answer is unparsed
BLOCK = 256 * 1024
GZIP_HEAD = b"\x1f\x8b\x08\0\0\0\0\0"  # no name, no comment, no time

# Precision of what the bundle prints.
SAME = 1e-9  # closer probabilities are equal: top labels, constant rows, edges of bins
SHARE = 0.5e-8 + 1e-10  # relative: a prediction's share has nine significant digits
BITS = 0.5e-9 + 1e-10  # a prediction's entropies have nine decimals
TABLE = 0.5e-6 + 1e-9  # a table has six decimals

# docs/strategies.md: name -> prompt, decoding, candidates (None: one per label), scorer, aggregator
STRATEGIES = {
    "greedy": ("direct", "greedy", 1, "none", "only"),
    "cot": ("cot", "greedy", 1, "none", "only"),
    "bon": ("direct", "beam", 5, "likelihood", "best"),
    "w_bon": ("direct", "beam", 5, "likelihood", "dirichlet_mixture"),
    "w_bon_mean": ("direct", "beam", 5, "mean_likelihood", "dirichlet_mixture"),
    "alm_v": ("direct", "beam", 3, "verifier", "best"),
    "w_alm_v": ("direct", "beam", 3, "verifier", "dirichlet_mixture"),
    "majority_vote": ("direct", "sample", 8, "none", "vote_share"),
    "self_consistency": ("cot", "sample", 8, "none", "vote_share"),
    "linear_pool": ("direct", "beam", 5, "none", "linear_pool"),
    "label_logprobs": ("label", "forced", None, "likelihood", "weighted_mean"),
}
SCORERS = ("none", "likelihood", "mean_likelihood", "verifier", "rubric", "listwise")
JUDGED_BY = ("verifier", "rubric", "listwise")  # scorers, and the names of their prompts
UNSCORED_AGGREGATORS = ("only", "linear_pool", "vote_share")
SCORED_AGGREGATORS = ("best", "weighted_mean", "dirichlet_mixture")
DECODINGS = ("greedy", "beam", "sample", "forced")
NEEDS = {"greedy": set(), "beam": {"beam"}, "sample": {"sampling"}, "forced": {"label_logprobs"}}
ENGINE_LACKS = {"openai": {"beam", "label_logprobs"}}
MOST_BEAMS = {"vllm": 16}
ALIASES = (
    "anger angry",
    "disgust disgusted",
    "fear fearful",
    "happy happiness",
    "sad sadness",
    "surprise surprised",
    "neutral neutrality",
)
VERDICTS = ("exact", "repaired", "partial", "unparsed")
LEVELS = ("low", "medium", "high", "clear-cut")
METRICS = (
    "js_divergence_bits", "js_distance_nats", "bhattacharyya", "r2_pearson", "r2_determination",
    "ece_5", "ece_10", "accuracy", "macro_f1", "weighted_f1", "uar", "brier", "kl_nats",
)  # fmt: skip
BOOTSTRAPPED = ("ece_5", "ece_10")
AS_UNIFORM = "js_divergence_bits_failed_as_uniform"
PAIRED = {
    "js_divergence_bits": "lower",
    "bhattacharyya": "higher",
    "brier": "lower",
    "accuracy": "higher",
}
NAN = float("nan")
NOBODY = 1e-9  # rounding that subtraction leaves in a sum of win shares that is 0
DECIDING = 0.95  # level of the intervals that decide verdicts, whatever the plan's level
FAMILY = "strategies against greedy, JS, all"
IN_FAMILY = ("cot", "bon", "w_bon", "alm_v", "w_alm_v", "majority_vote", "self_consistency")
STAND_IN = ("bon", "w_bon", "alm_v", "w_alm_v")  # NAME_sampled stands in where a model lacks NAME
CANNOT_TELL = "cannot tell"  # an answer that this file does not read

NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")
HEX = re.compile(r"[0-9a-f]{64}")


# --- errors and findings --------------------------------------------------------------------------


class Unreadable(Exception):
    """The bundle cannot be judged. One line says why; exit 2."""


class Broken(Exception):
    """Two parts of the bundle contradict each other, and what follows cannot be judged. Exit 1."""


def fault(where, value, expected):
    """The error for a place that differs from what the rest of the bundle requires."""
    return Broken(f"{where}: found {shown(value)}, expected {expected}")


def shown(value, most=120):
    """Text for a terminal: control characters escaped, long values cut."""
    text = value if isinstance(value, str) else repr(value)
    if len(text) > most:
        text = f"{text[:most]}…"
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text
    )


class Findings:
    """The differences. Keeps the first twenty and counts all."""

    def __init__(self):
        self.first, self.count = [], 0

    def note(self, line):
        self.count += 1
        if self.count <= 20:
            self.first.append(shown(line, 600))

    def expect(self, where, value, expected):
        """Note a value that differs."""
        if value != expected or isinstance(value, bool) != isinstance(expected, bool):
            self.note(f"{where}: found {shown(value)}, expected {shown(expected)}")


# --- files: regular ones only, of bounded size ----------------------------------------------------

MUST_HAVE = {
    "README.md",
    "verify.py",
    "ro-crate-metadata.json",
    "provenance/statement.json",
    "env/machine.json",
    "log/failures.csv",
    "log/run.log",
    *(f"config/{name}" for name in ("cells.jsonl", "plan.yaml", "questions.jsonl", "run.json")),
    *(f"inputs/{name}.json" for name in ("corpora", "judges", "labels", "models", "vote_units")),
    "inputs/utterances.jsonl",
    "config/claims.yaml",
    *(f"tables/{name}.csv" for name in ("cells", "claims", "draws", "levels", "paired", "results")),
    "tables/results.md",
}
MAY_HAVE = re.compile(
    r"(?:answers|scores)/[a-z0-9][a-z0-9._-]*/[a-z0-9][a-z0-9._-]*/[a-z0-9][a-z0-9._-]*\.jsonl\.gz"
    r"|predictions/[a-z0-9][a-z0-9._-]*/[a-z0-9][a-z0-9._-]*\.jsonl\.gz"
    r"|config/prompts/[a-z0-9][a-z0-9._-]*/[a-z]+\.txt"
    r"|tables/(?:ambiguity|curves|floors|gains|heard|verifier)\.csv"
)
BESIDE = {"bagit.txt", "bag-info.txt", "manifest-sha256.txt", "tagmanifest-sha256.txt", "data"}
BESIDE |= {"tagmanifest-sha256.txt.sig", "allowed_signers"}  # a signature


class Folder:
    """The files below data/: regular files only, none of them reached through a link."""

    def __init__(self, data):
        self.data = data
        if not stat.S_ISDIR(mode_of(data)):
            raise Unreadable(
                f"{data}: not a folder, or a link to one; expected the folder data/ of a bundle"
            )
        self.entries = 0
        self.paths = set(self._walk("", 0))

    def _walk(self, below, depth):
        if depth > DEEPEST_FOLDER:
            raise Unreadable(f"{shown(below)}: more than {DEEPEST_FOLDER} folders deep")
        for entry in self._entries(below):
            path = f"{below}/{entry}" if below else entry
            mode = mode_of(os.path.join(self.data, path))
            if stat.S_ISDIR(mode):
                yield from self._walk(path, depth + 1)
            elif stat.S_ISREG(mode):
                yield path
            else:
                raise Unreadable(f"{path}: a link, device or pipe; expected a regular file")

    def _entries(self, below):
        try:
            with os.scandir(os.path.join(self.data, below)) as entries:
                for entry in entries:
                    self.entries += 1
                    if self.entries > MOST_FILES:
                        raise Unreadable(f"{self.data}: more than {MOST_FILES} files and folders")
                    yield entry.name
        except OSError as error:
            raise Unreadable(f"{below or 'data'}: cannot be read: {error.strerror}") from error

    def open(self, path):
        """An open regular file. Links are not followed, and a pipe does not block."""
        flags = (
            os.O_RDONLY
            | getattr(os, "O_NOFOLLOW", 0)
            | getattr(os, "O_NONBLOCK", 0)
            | getattr(os, "O_BINARY", 0)
        )
        try:
            number = os.open(os.path.join(self.data, path), flags)
        except OSError as error:
            raise Unreadable(f"{path}: cannot be read: {error.strerror}") from error
        if not stat.S_ISREG(os.fstat(number).st_mode):
            os.close(number)
            raise Unreadable(f"{path}: not a regular file")
        return os.fdopen(number, "rb")

    def blocks(self, path):
        """The bytes of a file in pieces, unpacked if it is a .gz file."""
        with self.open(path) as file:
            size = os.fstat(file.fileno()).st_size
            packed = path.endswith(".gz")
            most = min(LARGEST_UNPACKED, LARGEST_RATIO * size + MIB) if packed else LARGEST_UNPACKED
            pieces = unpacked(file, path) if packed else iter(lambda: file.read(BLOCK), b"")
            total = 0
            try:
                for block in pieces:
                    total += len(block)
                    if total > most:
                        raise Unreadable(f"{path}: unpacks to more than {most} bytes")
                    yield block
            except OSError as error:
                raise Unreadable(f"{path}: cannot be read: {error}") from error

    def hashed(self, path):
        """(SHA-256, size as text) of a file's own bytes."""
        digest, size = hashlib.sha256(), 0
        with self.open(path) as file:
            for block in iter(lambda: file.read(BLOCK), b""):
                digest.update(block)
                size += len(block)
        return digest.hexdigest(), str(size)

    def lines(self, path):
        """The lines of a text file. Each ends with a line feed, which is left out."""
        held, pieces = 0, []
        for block in self.blocks(path):
            cut = block.rfind(b"\n")
            if cut < 0:
                pieces.append(block)
                held += len(block)
            else:
                pieces.append(block[:cut])
                data = b"".join(pieces)
                pieces, held = [block[cut + 1 :]], len(block) - cut - 1
                yield from decoded(data, path).split("\n")
            if held > LONGEST_LINE:
                raise Unreadable(f"{path}: a line has more than {LONGEST_LINE} bytes")
        if held:
            raise Broken(
                f"{path}: found no line feed at its end, expected one; the file was cut off"
            )

    def text(self, path, most=LARGEST_DOCUMENT):
        """A whole file of text."""
        data, total = [], 0
        for block in self.blocks(path):
            data.append(block)
            total += len(block)
            if total > most:
                raise Unreadable(f"{path}: more than {most} bytes")
        return decoded(b"".join(data), path)

    def document(self, path):
        """A JSON document without duplicate keys and with finite numbers only."""
        return strict_json(self.text(path), path)

    def rows(self, path):
        """Rows of a JSON-lines file in canonical spelling, with their numbers."""
        for number, line in enumerate(self.lines(path), 1):
            yield number, canonical_row(line, f"{path}: row {number}")


def mode_of(path):
    try:
        return os.lstat(path).st_mode
    except (OSError, ValueError) as error:
        raise Unreadable(f"{path}: {getattr(error, 'strerror', None) or error}") from error


def unpacked(file, path):
    """Pieces of a gzip file of one plain member. zlib compares length and checksum."""
    inflate = zlib.decompressobj(31)
    if file.read(len(GZIP_HEAD)) not in (GZIP_HEAD, b""):
        raise Unreadable(f"{path}: not gzip, or with a name, a comment or a time in its header")
    file.seek(0)
    try:
        for data in iter(lambda: file.read(BLOCK), b""):
            while data and not inflate.eof:
                yield inflate.decompress(data, BLOCK)
                data = inflate.unconsumed_tail
            if inflate.unused_data or (inflate.eof and data and file.read(1)):
                raise Unreadable(
                    f"{path}: cannot be unpacked: bytes follow the end of the gzip data"
                )
        while not inflate.eof:
            block = inflate.decompress(b"", BLOCK)
            if not block and not inflate.eof:
                raise Unreadable(f"{path}: cannot be unpacked: it ends too early")
            yield block
    except zlib.error as error:
        raise Unreadable(f"{path}: cannot be unpacked: {error}") from error


def decoded(data, path):
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Unreadable(f"{path}: not UTF-8 text: {error.reason}") from error


def check_layout(folder, findings):
    """Raise if a required file is missing; note files, also next to data/, that no bundle has."""
    missing = sorted(MUST_HAVE - folder.paths)
    if missing:
        raise Unreadable(f"{missing[0]}: no such file, expected in every bundle")
    for path in sorted(folder.paths - MUST_HAVE):
        if not MAY_HAVE.fullmatch(path):
            findings.note(
                f"{path}: found a file that no bundle has; nothing speaks for what it says"
            )
    above = os.path.dirname(os.path.abspath(folder.data))
    if os.path.lexists(os.path.join(above, "bagit.txt")):
        for name in sorted(set(os.listdir(above)) - BESIDE):
            findings.note(f"../{shown(name)}: found next to data/, expected a bag's files only")


# --- JSON -----------------------------------------------------------------------------------------


def once(pairs):
    mapping = {}
    for key, value in pairs:
        if key in mapping:
            raise Broken(f"found key {shown(key, 60)} twice, expected once")
        mapping[key] = value
    return mapping


def finite(text):
    if not math.isfinite(float(text)):
        raise Broken(f"found the number {shown(text, 40)}, expected a finite one")
    return float(text)


def short_integer(text):
    if len(text) > MOST_DIGITS:
        raise Broken(f"found an integer of {len(text)} digits, expected at most {MOST_DIGITS}")
    return int(text)


STRICT = json.JSONDecoder(
    object_pairs_hook=once, parse_constant=finite, parse_float=finite, parse_int=short_integer
)
PLAIN = json.JSONDecoder()
PAIRS = json.JSONDecoder(object_pairs_hook=list)
quoted = json.JSONEncoder(ensure_ascii=False).encode


def strict_json(text, where):
    try:
        return STRICT.decode(text)
    except Broken as error:
        raise Broken(f"{where}: {error}") from error
    except RecursionError as error:
        raise Unreadable(f"{where}: JSON is nested too deeply") from error
    except ValueError as error:
        raise Unreadable(f"{where}: not JSON: {error}") from error


def canonical(value):
    """A value as a bundle spells it; a lone surrogate, which UTF-8 cannot spell, is escaped."""
    text = quoted(value)
    try:
        text.encode("utf-8")
        return text
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace").decode("utf-8")


def canonical_row(line, where):
    if len(line) > LONGEST_ROW:
        raise fault(where, line, f"at most {LONGEST_ROW} characters")
    row = strict_json(line, where)
    if not isinstance(row, dict):
        raise fault(where, line, "a JSON object")
    if canonical(row) != line:
        raise Broken(
            f"{where}: found another spelling of the values than json.dumps(row, "
            "ensure_ascii=False) gives"
        )
    return row


def compact(parts):
    """The canonical JSON text that keys and seeds are hashed from."""
    return json.dumps(parts, sort_keys=True, separators=(",", ":"))


def sha256(text):
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def seed_of(text):
    """The 63-bit seed that a canonical JSON text gives."""
    return int.from_bytes(hashlib.sha256(text.encode("ascii")).digest()[:8], "big") >> 1


# --- the plan and the claims: the part of YAML that they are written in ---------------------------

PLAN = "config/plan.yaml"
KEY = re.compile(r"(?:'((?:[^']|'')*)'|([A-Za-z0-9_.$][\w.$-]*)):(?: (.*))?")
WHOLE = re.compile(r"-?(?:0|[1-9][0-9]{0,29})")
REAL = re.compile(r"-?[0-9]{1,30}\.[0-9]{0,30}(?:e[-+]?[0-9]{1,3})?")
SINGLE = re.compile(r"'(?:[^']|'')*'")
WORDS: dict = {"null": None, "true": True, "false": False, "[]": [], "{}": {}}
# Plain words that YAML 1.1 does not read as text.
OTHER_WORDS = set("y n yes no on off true false null ~".split())
# Plain keys that PyYAML, which writes the plan, reads as a number, a date, a truth value or nothing.
NOT_TEXT = re.compile(
    r"0b[01_]+|0[0-7_]+|0|[1-9][0-9_]*|0x[0-9a-fA-F_]+|[0-9]{4}-[0-9]{2}-[0-9]{2}|(?i:\.(?:inf|nan))"
    r"|[0-9][0-9_]*\.[0-9_]*(?:[eE]-[0-9]+)?|\.[0-9][0-9_]*(?:[eE]-[0-9]+)?"
    r"|[Yy]es|YES|[Nn]o|NO|[Oo]n|ON|[Oo]ff|OFF|[Tt]rue|TRUE|[Ff]alse|FALSE|[Nn]ull|NULL"
)


def scalar(text, path=PLAN):
    if text in WORDS:
        return json.loads(text) if text in ("[]", "{}") else WORDS[text]
    if text[0] == "'":
        if not SINGLE.fullmatch(text):
            raise fault(path, text, "a quoted text and nothing after it")
        return text[1:-1].replace("''", "'")
    if text[0] == '"':
        try:
            return json.loads(text)
        except ValueError as error:
            raise fault(path, text, "a quoted text of plain characters") from error
    if WHOLE.fullmatch(text):
        return int(text)
    if REAL.fullmatch(text):
        return float(text)
    marked = text[0] in "#&*!|>%@`[{,]}" or text[:2] in ("- ", "? ")
    if marked or " #" in text or ": " in text:
        raise fault(path, text, "a plain value: no comment, anchor, tag or block")
    return text


class PlanReader:
    """Nested maps and lists, one value per line, long texts folded. Refuses all other YAML."""

    path, key = PLAN, KEY

    def __init__(self, text):
        self.lines = [
            (len(line) - len(line.lstrip(" ")), line.strip(" "))
            for line in text.split("\n")
            if line.strip()
        ]
        self.at = 0

    def read(self):
        document = self._block(0)
        if self.at < len(self.lines) or not isinstance(document, dict):
            raise fault(self.path, self._current_line(), "no more than its keys")
        return document

    def _current_line(self):
        return self.lines[self.at][1] if self.at < len(self.lines) else "its end"

    def _block(self, depth):
        if depth > 20:
            raise Broken(f"{self.path}: nested more than 20 deep")
        indent, first = self.lines[self.at]
        return self._list(indent, depth) if first.startswith("- ") else self._map(indent, depth)

    def _list(self, indent, depth):
        items = []
        while self._here(indent) and self._current_line().startswith("- "):
            line = self._current_line()[2:]
            if self.key.fullmatch(line):  # a map that begins on the dash's line
                self.lines[self.at] = (indent + 2, line)
                items.append(self._block(depth + 1))
            else:
                self.at += 1
                items.append(self._value(line, indent, depth))
        return items

    def _map(self, indent, depth):
        entries = {}
        while self._here(indent) and not self._current_line().startswith("- "):
            match = self.key.fullmatch(self._current_line())
            if not match:
                raise fault(self.path, self._current_line(), "a key and its value")
            key = match[2] if match[1] is None else match[1].replace("''", "'")
            if match[1] is None and NOT_TEXT.fullmatch(key):
                raise fault(
                    self.path, self._current_line(), "a key that is text, or quotes around it"
                )
            if key in entries:
                raise Broken(f"{self.path}: found key {shown(key, 60)} twice, expected once")
            self.at += 1
            entries[key] = self._value((match[3] or "").strip(), indent, depth)
        return entries

    def _here(self, indent):
        return self.at < len(self.lines) and self.lines[self.at][0] == indent

    def _value(self, rest, indent, depth):
        if rest:
            pieces = [rest]
            # A folded text goes on in deeper lines.
            while self.at < len(self.lines) and self.lines[self.at][0] > indent:
                pieces.append(self._current_line())
                self.at += 1
            return self._scalar(" ".join(pieces))
        if self.at < len(self.lines):
            deeper, line = self.lines[self.at]
            if deeper > indent or (deeper == indent and line.startswith("- ")):
                return self._block(depth + 1)
        return None

    def _scalar(self, text):
        return scalar(text, self.path)


def plan_of(text):
    return PlanReader(text).read()


CLAIMS = "config/claims.yaml"
FLOW = re.compile(r"\s*(?:([\[\]{},])|([A-Za-z0-9_.-]+)(:(?= ))?)\s*")


class ClaimsReader(PlanReader):
    """Also reads whole-line comments, and lists and maps in brackets with plain names."""

    path, key = CLAIMS, re.compile(r"(?:'((?:[^']|'')*)'|([A-Za-z][\w .-]*)):(?: (.*))?")

    def __init__(self, text):
        super().__init__(text)
        self.lines = [line for line in self.lines if not line[1].startswith("#")]
        if not self.lines:
            raise fault(self.path, text, "claims")

    def _scalar(self, text):
        if text[0] in "[{":
            parts = iter(self._parts(text))
            value = self._flow(next(parts), parts)
            if next(parts, None) is not None:
                raise fault(self.path, text, "one list or map in brackets")
            return value
        return scalar(text, self.path) if text[0] in "'\"" else self._plain(text)

    def _plain(self, text):
        number = WHOLE.fullmatch(text) or REAL.fullmatch(text)
        if not number and (not text[0].isalpha() or text.lower() in OTHER_WORDS):
            raise fault(self.path, text, "a number, a text that begins with a letter, or quotes")
        return scalar(text, self.path)

    def _parts(self, text):
        at = 0
        while at < len(text):
            match = FLOW.match(text, at)
            if match is None or match.end() == at:
                raise fault(self.path, text, "plain names in brackets")
            yield match[1] or (match[2], bool(match[3]))
            at = match.end()

    def _flow(self, part, parts):
        """The value that begins with this part of a text in brackets."""
        if part == "[":
            items: list = []
            for part in parts:
                if part == "]":
                    return items
                items.append(self._flow(part, parts))
                if self._ends(parts, "]"):
                    return items
        elif part == "{":
            named: dict = {}
            for part in parts:
                if not isinstance(part, tuple) or not part[1] or part[0] in named:
                    raise fault(self.path, part, "a key, once, and its value")
                named[part[0]] = self._flow(next(parts, None), parts)
                if self._ends(parts, "}"):
                    return named
        elif isinstance(part, tuple) and not part[1]:
            return self._plain(part[0])
        raise fault(self.path, part, "a name, or a list or map in brackets that closes")

    def _ends(self, parts, closing):
        part = next(parts, None)
        if part not in (",", closing):
            raise fault(self.path, part, f"a comma or {closing}")
        return part == closing


# --- from an answer's text to a distribution ------------------------------------------------------


def last_object(text):
    """(pairs, whether nothing precedes it) of the JSON object at the end of the text, or None.

    A closing code fence may follow it. Every step is linear in the text.
    """
    body = text.rstrip()
    if body.endswith("```"):
        body = body[:-3].rstrip()
    if not body.endswith("}"):
        return None
    start = body.rfind("{")
    if start < 0 or "}" in body[start:-1]:
        return None
    try:
        pairs = PAIRS.decode(body[start:])
    except (ValueError, RecursionError):
        return None
    return pairs, body[:start].strip() in ("", "```", "```json")


def is_number(value):
    return type(value) in (int, float) and abs(value) < 1e300


class Reading:
    """Reads the answers of one corpus. `names` maps every accepted spelling to its label."""

    def __init__(self, labels):
        self.labels = labels
        self.names = {label.casefold(): label for label in labels}
        for forms in map(str.split, ALIASES):
            owners = [label for label in labels if label.casefold() in forms]
            if len(owners) == 1:
                self.names.update(dict.fromkeys(forms, owners[0]))
        self.read = lru_cache(maxsize=1 << 14)(self._read)
        self.believed = 0  # answers whose verdict "unparsed" this file cannot judge

    def _read(self, text):
        """(distribution, verdict) of a plain answer.

        (None, "unparsed") if it is too long, (None, "") if it is not plain.
        """
        if len(text) > LONGEST_ANSWER:
            return None, "unparsed"
        ending = last_object(text)
        if ending is None:
            return None, ""
        pairs, alone = ending
        shares: dict = {}
        foreign = 0
        for key, value in pairs:
            label = self.names.get(key.casefold())
            if not is_number(value) or value < 0 or (label is None and not alone):
                return None, ""
            if label is None:
                foreign += 1
            elif shares.setdefault(label, float(value)) != value:
                return None, ""
        complete = len(shares) == len(self.labels)
        if not any(shares.values()) or not (complete or alone):
            return None, ""
        values = [shares.get(label, 0.0) for label in self.labels]
        total = math.fsum(values)
        if foreign or not complete:
            verdict = "partial"
        else:
            spelled = len(pairs) == len(shares) and all(key in shares for key, _ in pairs)
            whole = abs(total - 1) <= 0.005 * len(values) + 1e-9
            verdict = "exact" if spelled and whole else "repaired"
        return tuple([value / total for value in values]), verdict

    def distribution(self, text, verdict, forced, where):
        """Shares in the order of the labels.

        None if the answer has none, CANNOT_TELL if it needs repair.
        """
        if forced:  # nothing was generated: the candidate is a label
            if text not in self.labels or verdict != "exact":
                raise fault(where, f"{verdict} {text}", "a label with verdict exact")
            return tuple([float(label == text) for label in self.labels])
        distribution, expected = self.read(text)
        if verdict != (expected or verdict) or (not expected and verdict == "exact"):
            expectation = f"{expected or 'another one'}: the text ends in {shown(text[-80:])}"
            raise fault(f"{where}: key verdict", verdict, expectation)
        if distribution:
            return distribution
        self.believed += not expected and verdict == "unparsed"
        return None if verdict == "unparsed" else CANNOT_TELL


def score_of(text, verdict, where):
    """The verifier's score, 0 to 10; None if it gave none, CANNOT_TELL if it needs repair."""
    ending = last_object(text) if len(text) <= LONGEST_ANSWER else None
    if (
        ending
        and [key.casefold() for key, _ in ending[0]] == ["score"]
        and is_number(ending[0][0][1])
    ):
        score = float(ending[0][0][1])
        expected = "exact" if 0 <= score <= 10 else "unparsed"
        if verdict != expected:
            raise fault(f"{where}: key verdict", verdict, f"{expected} of the score {score}")
        return score if expected == "exact" else None
    if verdict in ("exact", "partial"):
        expectation = f"another one: the text ends in {shown(text[-80:])}"
        raise fault(f"{where}: key verdict", verdict, expectation)
    return None if verdict == "unparsed" else CANNOT_TELL


def score_in_list(text, verdict, count, place, where):
    """The score, 0 to 10, at one place of a list of `count` scores; None without such a list."""
    ending = last_object(text) if len(text) <= LONGEST_ANSWER else None
    scores: Any = (
        ending[0][0][1] if ending and [key for key, _ in ending[0]] == ["scores"] else None
    )
    whole = (
        isinstance(scores, list)
        and len(scores) == count
        and all(type(one) in (int, float) and 0 <= one <= 10 for one in scores)
    )
    expected = "exact" if whole else "unparsed"
    if verdict != expected:
        raise fault(f"{where}: key verdict", verdict, f"{expected}: it ends in {shown(text[-80:])}")
    return float(scores[place]) if whole else None


# --- from candidates to one prediction ------------------------------------------------------------


class Strategy:
    """One entry of the plan: prompt, decoding, count, scorer, aggregator, and its numbers."""

    def __init__(self, entry, plan):
        self.name = entry["name"]
        where = f"{PLAN}: strategy {shown(self.name, 60)}"
        base = STRATEGIES.get(entry["base"])
        if base is None:
            raise Broken(
                f"{where}: found base {shown(entry['base'], 60)}, expected one of "
                f"{', '.join(STRATEGIES)}"
            )
        self.prompt = base[0]
        self.decoding, self.count = entry["decoding"], entry["count"]
        self.scorer, self.aggregator = entry["scorer"], entry["aggregator"]
        self.own = tuple(entry[name] for name in ("tau", "concentration", "epsilon"))
        parts = (self.prompt, self.decoding, self.count, self.scorer, self.aggregator)
        row = STRATEGIES.get(self.name)
        if row is not None and (entry["base"] != self.name or parts != row):
            raise Broken(
                f"{where}: found {parts}, expected {row}: a name of docs/strategies.md is its "
                "row, unchanged"
            )
        scored = self.scorer != "none"
        fits = (
            self.decoding in DECODINGS
            and self.scorer in SCORERS
            and self.aggregator in (SCORED_AGGREGATORS if scored else UNSCORED_AGGREGATORS)
            and (self.decoding == "forced") == (self.count is None) == (self.prompt == "label")
            and (self.count == 1 or (self.aggregator != "only" and self.decoding != "greedy"))
        )
        if not fits:
            raise Broken(f"{where}: found {parts}: these parts do not fit together")
        tau, dirichlet = plan["weights"]["tau"], plan["dirichlet"]
        usual = (tau, dirichlet["concentration"], dirichlet["epsilon"])
        if entry["base"] == "label_logprobs":
            usual = (1.0, *usual[1:])
        numbers = [shared if own is None else own for own, shared in zip(self.own, usual)]
        if not all(type(n) in (int, float) and 0 < n < math.inf for n in numbers):
            raise Broken(
                f"{where}: found tau, concentration, epsilon {numbers}, expected numbers above 0"
            )
        self.tau, self.concentration, self.epsilon = numbers

    @property
    def verified(self):
        return self.scorer in JUDGED_BY

    @property
    def needs(self):
        scored = {"likelihood"} if self.scorer.endswith("likelihood") else set()
        return NEEDS[self.decoding] | scored

    def values(self, candidates):
        """Scores of candidates (distribution, likelihood, tokens, score), None if unknown."""
        if self.scorer == "likelihood":
            return [likelihood for _, likelihood, _, _ in candidates]
        if self.verified:
            return [score for _, _, _, score in candidates]
        return [
            None if known is None else known / (tokens or 1) for _, known, tokens, _ in candidates
        ]

    def effective(self, candidates):
        """(effective number of the parsed candidates, whether the largest weight is shared).

        The second is None where there are no scores.
        """
        if self.scorer == "none":
            return float(len(candidates)), None
        values = [value for value in self.values(candidates) if value is not None]
        most = max(values)
        if self.aggregator == "best":
            weights = [float(value == most) for value in values]
        else:
            weights = self.weights(values)
        top = max(weights)
        tied = sum([weight >= top * (1 - 1e-12) for weight in weights]) > 1
        return sum(weights) ** 2 / sum([weight * weight for weight in weights]), tied

    def weights(self, values):
        """Weights that sum to 1: softmax of likelihoods, a verifier's scores in proportion."""
        if self.verified:
            raised = values if any(values) else [1.0] * len(values)
        else:
            best = max(values)
            raised = [math.exp((value - best) / self.tau) for value in values]
        total = math.fsum(raised)
        return [one / total for one in raised]

    def predict(self, candidates):
        """(distribution or None, entropies or None, unscored) of the parsed candidates."""
        if self.scorer == "none":
            if not candidates:
                return None, None, 0
            rows = [candidate[0] for candidate in candidates]
            if self.aggregator == "vote_share":
                rows = [vote(row) for row in rows]
            return mean_of(rows), None, 0
        rows, values = [], []
        for candidate, value in zip(candidates, self.values(candidates)):
            if value is not None:
                rows.append(candidate[0])
                values.append(value)
        unscored = len(candidates) - len(rows)
        if not rows:
            return None, None, unscored
        if self.aggregator == "best":
            most = max(values)
            rows = [row for row, value in zip(rows, values) if value == most]
            return mean_of(rows), None, unscored
        weights = self.weights(values)
        if self.aggregator == "weighted_mean":
            return mean_of(rows, weights), None, unscored
        return (*mixture(rows, weights, self.concentration, self.epsilon), unscored)


def mean_of(rows, weights=None):
    """The weighted mean of distributions, adding up to 1; the plain mean without weights."""
    if len(rows) == 1:
        return rows[0]
    if weights is None:
        weights = [1 / len(rows)] * len(rows)
    mean = [math.fsum(map(float.__mul__, weights, column)) for column in zip(*rows)]
    total = math.fsum(mean)
    return [value / total for value in mean]


@lru_cache(maxsize=1 << 12)
def vote(row):
    """A candidate's vote: its largest label, equally large ones share it."""
    most = max(row)
    return [1 / row.count(most) if share == most else 0.0 for share in row]


def mixture(rows, weights, concentration, epsilon):
    """The mean of a mixture of Dirichlets, and the entropy of the mean in its three parts."""
    kept = [
        (weight, *component(row, concentration, epsilon))
        for weight, row in zip(weights, rows)
        if weight > 0
    ]
    mean = mean_of([means for _, means, _, _ in kept], [weight for weight, _, _, _ in kept])
    expected = math.fsum([weight * bits for weight, _, bits, _ in kept])
    own = math.fsum([weight * bits for weight, _, _, bits in kept])
    return mean, (expected, max(own - expected, 0.0), max(entropy(mean) - own, 0.0))


@lru_cache(maxsize=1 << 14)
def component(row, concentration, epsilon):
    """Mean of Dir(c·p + ε), its expected entropy and the entropy of its mean, in bits."""
    alpha = [concentration * share + epsilon for share in row]
    whole = math.fsum(alpha)
    means = [a / whole for a in alpha]
    expected = digamma(whole + 1) - math.fsum(
        [mean * digamma(a + 1) for mean, a in zip(means, alpha)]
    )
    return means, expected / math.log(2), entropy(means)


def digamma(x):
    """Recurrence up to 10, then the asymptotic series."""
    shift = 0.0
    while x < 10:
        shift, x = shift - 1 / x, x + 1
    y = 1 / (x * x)
    series = y * (
        1 / 12 - y * (1 / 120 - y * (1 / 252 - y * (1 / 240 - y * (1 / 132 - y * 691 / 32760))))
    )
    return shift + math.log(x) - 0.5 / x - series


def entropy(shares):
    """Bits."""
    return -math.fsum([share * math.log2(share) for share in shares if share > 0])


# --- votes, levels, metrics -----------------------------------------------------------------------


def truth_of(votes):
    total = sum(votes)
    return [vote / total for vote in votes]


def top_of(shares):
    """The win of one utterance, shared by labels within 1e-9 of the largest."""
    edge = max(shares) - SAME
    winners = [share >= edge for share in shares]
    return [winner / sum(winners) for winner in winners]


def thirds(values):
    """Third of the corpus by rank. Equal values take the third of the middle of their ranks."""
    start: dict = {}
    counts: dict = {}
    for place, value in enumerate(sorted(values)):
        start.setdefault(value, place)
        counts[value] = counts.get(value, 0) + 1
    return [min(3 * (2 * start[value] + counts[value]) // (2 * len(values)), 2) for value in values]


def levels_of(utterances, rule, thresholds):
    """Ambiguity level of each utterance (votes, acted). Acted ones are clear-cut."""
    judged = [votes for votes, acted in utterances if not acted and sum(votes)]
    truths = [truth_of(votes) for votes in judged]
    if rule == "bits":
        edges = thresholds["medium_from"], thresholds["high_from"]
        order = [sum(round(entropy(truth), 9) >= edge for edge in edges) for truth in truths]
    elif rule == "2409.18339":
        entropies = [round(entropy([round(share, 2) for share in truth]), 4) for truth in truths]
        order = [(value > 0) + (value > 0.9149) for value in entropies]
    elif rule == "tertiles":
        order = thirds([round(entropy(truth), 9) for truth in truths])
    elif rule == "2601.14620":
        seen = [sum(vote > 0 for vote in votes) for votes in judged]
        order = thirds(
            [round(entropy(t) / (math.log2(m) if m > 1 else 1), 9) for t, m in zip(truths, seen)]
        )
    else:
        raise Unreadable(f"{PLAN}: ambiguity rule {shown(rule)}: not known to this file")
    places = iter(order)
    return [
        "clear-cut" if acted else LEVELS[next(places)] if sum(votes) else ""
        for votes, acted in utterances
    ]


class Truth:
    """The raters' votes on one utterance, and what every metric needs from them."""

    __slots__ = (
        "apart", "as_uniform", "bits", "counts", "fewer", "miller_madow", "raters", "shares",
        "spread", "top", "untied", "votes",
    )  # fmt: skip

    def __init__(self, votes, unit):
        self.votes, self.counts = sum(votes), tuple(votes)
        # The votes in whole raters; all 0 if some votes do not divide by the unit.
        whole = not any(vote % unit for vote in votes)
        self.raters = tuple(vote // unit if whole else 0 for vote in votes)
        self.shares = tuple(truth_of(votes))
        self.bits = entropy(self.shares)
        seen = sum(vote > 0 for vote in votes)
        self.miller_madow = self.bits + (seen - 1) / (2 * (self.votes / unit) * math.log(2))
        self.top = top_of(self.shares)
        self.untied = max(self.top) == 1
        self.fewer: list = []  # (share, votes without one of it as shares, their entropy)
        for k, vote in enumerate(votes if self.votes > 1 and unit == 1 else ()):
            if vote:
                rest = truth_of([one - (k == at) for at, one in enumerate(votes)])
                self.fewer.append((vote / self.votes, rest, entropy(rest)))
        middle = 1 / len(self.shares)
        self.apart = [share - middle for share in self.shares]
        constant = max(self.shares) - min(self.shares) <= SAME
        self.spread = 0.0 if constant else math.fsum([x * x for x in self.apart])
        uniform = [middle] * len(self.shares)
        self.as_uniform = max(0.0, entropy([(a + b) / 2 for a, b in zip(self.shares, uniform)])
                              - (self.bits + entropy(uniform)) / 2)  # fmt: skip


def js_bits(truth, shares):
    """The Jensen-Shannon divergence of a prediction."""
    halves = [(a + b) / 2 for a, b in zip(truth.shares, shares)]
    return max(0.0, entropy(halves) - (truth.bits + entropy(shares)) / 2)


def brier_unbiased(truth, shares):
    """The squared distance to the distribution that the raters were drawn from, unbiased."""
    noise = (1 - sum([share * share for share in truth.shares])) / (truth.votes - 1)
    return sum([(a - b) * (a - b) for a, b in zip(truth.shares, shares)]) - noise


def js_vote_jackknife(truth, shares, js):
    """JS without most of the bias that comes from having few raters."""
    log2, own, left = math.log2, entropy(shares), 0.0
    for share, rest, bits in truth.fewer:
        halves = 0.0
        for a, b in zip(rest, shares):
            half = (a + b) / 2
            if half > 0:
                halves -= half * log2(half)
        left += share * max(0.0, halves - (bits + own) / 2)
    return truth.votes * js - (truth.votes - 1) * left


@lru_cache(maxsize=1 << 14)
def panel_bits(counts, size):
    """The mean entropy over all panels of `size` of the raters."""
    n, total = sum(counts), 0.0
    for votes in counts:
        for panel_votes in range(1, min(votes, size) + 1):
            ways = math.comb(votes, panel_votes) * math.comb(n - votes, size - panel_votes)
            share = panel_votes / size
            total -= ways * share * math.log2(share)
    return total / math.comb(n, size)


def one_rater_right(truth):
    """How often a rater names the label of the other raters."""
    total = 0.0
    for k, vote in enumerate(truth.counts):
        if vote:
            rest = [one - (k == at) for at, one in enumerate(truth.counts)]
            most = max(rest)
            total += vote / truth.votes * (rest[k] == most) / rest.count(most)
    return total


def possible(size, labels):
    """How many different vote counts `size` raters can give."""
    return math.comb(size + labels - 1, labels - 1)


def halves(counts, size):
    """(votes of `size` of a clip's raters, number of ways to choose raters with these votes)."""
    if len(counts) == 1:
        if counts[0] >= size:
            yield (size,), math.comb(counts[0], size)
        return
    for own in range(max(0, size - sum(counts[1:])), min(counts[0], size) + 1):
        for rest, ways in halves(counts[1:], size - own):
            yield (own, *rest), ways * math.comb(counts[0], own)


class Splits:
    """Every split of each clip's raters into those who set its level and those who score it."""

    def __init__(self, corpus):
        width = len(corpus.labels)
        clips: dict = {}
        for truth in corpus.truths:
            if sum(truth.raters) >= LEAST_RATERS:
                kind = tuple(
                    sorted(truth.raters)
                )  # the level does not depend on the order of labels
                clips[kind] = clips.get(kind, 0) + 1
        self.clips = sum(clips.values())
        sizes, work = {}, 0
        for counts in clips:
            size = sum(counts) // 2
            while size > 2 and possible(size, width) > MOST_HALVES:
                size -= 1
            sizes[counts] = size
            work += possible(size, width)
        if work > MOST_SPLITS or width > WIDEST_SPLIT:
            raise Unreadable(f"corpus {corpus.name}: votes of too many kinds to split its raters")
        weight: dict = {}  # entropy -> number of all splits -> splits
        for counts, many in clips.items():
            every = math.comb(sum(counts), sizes[counts])
            for part, ways in halves(counts, sizes[counts]):
                own = weight.setdefault(self._bits(part, sizes[counts]), {})
                own[every] = own.get(every, 0) + ways * many
        levels, below = {}, Fraction(0)
        for value in sorted(weight):
            mass = sum([Fraction(ways, every) for every, ways in weight[value].items()])
            levels[value] = min(int(3 * (below + mass / 2) / self.clips), 2)
            below += mass
        kinds = {
            counts: self._sums(counts, self._splits(counts, size), levels, width)
            for counts, size in sizes.items()
        }
        self.parts: dict = {}
        for truth in corpus.truths:
            if sum(truth.raters) >= LEAST_RATERS and truth.raters not in self.parts:
                order = sorted(range(width), key=truth.raters.__getitem__)
                sums = kinds[tuple(sorted(truth.raters))]
                self.parts[truth.raters] = [
                    (part, [mean[order.index(k)] for k in range(width)], rest)
                    for part, mean, rest in sums
                ]
        self.weight = [math.fsum([self.parts[t.raters][level][0] for t in corpus.truths
                                  if t.raters in self.parts]) for level in range(3)]  # fmt: skip

    @staticmethod
    def _bits(part, size):
        return round(entropy([vote / size for vote in part]), 9)

    def _splits(self, counts, size):
        whole = math.comb(sum(counts), size)
        for part, ways in halves(counts, size):
            yield self._bits(part, size), ways / whole, part

    def _sums(self, counts, splits, levels, width):
        """By level: share of the splits, mean votes of the scoring raters, what is left of B."""
        sums = [[0.0, [0.0] * width, 0.0] for _ in range(3)]
        for value, share, part in splits:
            own = sums[levels[value]]
            rest = [a - b for a, b in zip(counts, part)]
            n = sum(rest)
            truth = [vote / n for vote in rest]
            square = sum([x * x for x in truth])
            own[0] += share
            own[1] = [a + share * b for a, b in zip(own[1], truth)]
            own[2] += share * (square - (1 - square) / (n - 1))
        return sums

    def error(self, counts, shares):
        """B of a prediction by level, weighted by the share of the splits there."""
        square = sum([x * x for x in shares])
        return [
            part * square - 2 * sum(map(float.__mul__, shares, mean)) + rest
            for part, mean, rest in self.parts[counts]
        ]


EXPONENTS = tuple(2.0 ** (step / 8) for step in range(-32, 33))
FOLDS = 5


def powered(shares, exponent):
    """p to a power, normalised to add up to 1."""
    most = max(shares)
    raised = [(share / most) ** exponent for share in shares]
    total = math.fsum(raised)
    return [one / total for one in raised]


def tempered(rows, names):
    """Predictions tempered by the exponent and mix that fit other speakers' votes best.

    rows: (speaker, shares of the votes, predicted shares). names: of the speakers, by number.
    Speakers are dealt to 5 folds in the order of the SHA-256 of their names. A fold's prediction
    becomes (1 - mix) p^beta / sum p^beta + mix / K; beta is one of EXPONENTS, mix the best one for
    it. Among equally good betas the one nearest to 1 is used.
    """
    there = sorted({person for person, _, _ in rows}, key=lambda one: sha256(names[one]))
    folds = min(FOLDS, len(there))
    fold_of = {person: place % FOLDS for place, person in enumerate(there)}
    alike: list = [{} for _ in range(folds)]  # by fold: prediction -> clips, votes, their squares
    for person, truth, shares in rows:
        own = alike[fold_of[person]].setdefault(shares, [0, [0.0] * len(shares), 0.0])
        own[0] += 1
        own[1] = list(map(add, own[1], truth))
        own[2] += sum([share * share for share in truth])
    square = [math.fsum([own[2] for own in of.values()]) for of in alike]
    clips = [sum(own[0] for own in of.values()) for of in alike]
    best = [(math.inf, 1.0, 0.0)] * folds
    nearest = sorted(range(len(EXPONENTS)), key=lambda at: (abs(math.log2(EXPONENTS[at])), at))
    for at in nearest:
        exponent, both, own_square = EXPONENTS[at], [], []
        for of in alike:
            powers = [(one, own, powered(one, exponent)) for one, own in of.items()]
            both.append(math.fsum([sum(map(float.__mul__, q, own[1])) for _, own, q in powers]))
            own_square.append(math.fsum([own[0] * sum([x * x for x in q]) for _, own, q in powers]))
        for fold in range(folds):
            n, votes, t_q, q_q = (
                math.fsum(parts[:fold] + parts[fold + 1 :])
                for parts in (clips, square, both, own_square)
            )
            miss, cross, away = votes - 2 * t_q + q_q, q_q - t_q, q_q - n / len(rows[0][2])
            mix = min(1.0, max(0.0, cross / away)) if away > 1e-12 * n else 0.0
            loss = miss - 2 * mix * cross + mix * mix * away
            if loss < best[fold][0] - 1e-12 * n:
                best[fold] = loss, exponent, mix
    flat: dict = {}
    predictions = []
    for person, _, shares in rows:
        fold = fold_of[person]
        if (fold, shares) not in flat:
            _, exponent, mix = best[fold]
            flat[fold, shares] = [
                (1 - mix) * share + mix / len(shares) for share in powered(shares, exponent)
            ]
        predictions.append(flat[fold, shares])
    return predictions


class Sums:
    """Sums over the utterances of one level that have a prediction; the metrics come from them."""

    def __init__(self, labels):
        self.n = 0
        self.js = self.distance = self.bc = self.r2 = self.hit = self.brier = self.kl = 0.0
        self.r2_n = 0
        self.ece_5, self.ece_10 = [0.0] * 5, [0.0] * 10
        self.hits, self.true, self.predictions = [0.0] * labels, [0.0] * labels, [0.0] * labels
        self.t, self.t_squared, self.missed = [0.0] * labels, [0.0] * labels, [0.0] * labels

    def add(self, other):
        for name, value in vars(other).items():
            own = getattr(self, name)
            setattr(
                self,
                name,
                [a + b for a, b in zip(own, value)] if isinstance(value, list) else own + value,
            )

    def without(self, other):
        """These sums without those of one speaker."""
        difference = Sums.__new__(Sums)
        for name, value in vars(self).items():
            gone = getattr(other, name)
            rest = [a - b for a, b in zip(value, gone)] if isinstance(value, list) else value - gone
            setattr(difference, name, rest)
        return difference

    def one(self, truth, shares):
        """Add one utterance. Returns its JS divergence, Bhattacharyya, Brier, accuracy."""
        log2, t_log, p_log, half_log, cross, bc, brier = (
            math.log2,
            -truth.bits,
            0.0,
            0.0,
            0.0,
            0.0,
            0.0,
        )
        t, t_squared, missed = self.t, self.t_squared, self.missed
        for k, (a, b) in enumerate(zip(truth.shares, shares)):
            if b > 0:
                log = log2(b)
                p_log += b * log
                if a > 0:
                    cross += a * log
                    bc += math.sqrt(a * b)
            elif a > 0:
                cross = -math.inf
            half = (a + b) / 2
            if half > 0:
                half_log += half * log2(half)
            gap = (a - b) * (a - b)
            brier += gap
            missed[k] += gap
            t[k] += a
            t_squared[k] += a * a
        js = max(0.0, (t_log + p_log) / 2 - half_log)
        most = max(shares)
        winners = [k for k, share in enumerate(shares) if share >= most - SAME]
        part, hit, top = 1 / len(winners), 0.0, truth.top
        for k in winners:
            self.predictions[k] += part
            self.hits[k] += part * top[k]
            hit += part * top[k]
        for k, share in enumerate(top):
            self.true[k] += share
        if truth.spread and most - min(shares) > SAME:
            middle = sum(shares) / len(shares)
            apart = [share - middle for share in shares]
            both = sum(map(float.__mul__, truth.apart, apart))
            self.r2 += min(1.0, both * both / (truth.spread * sum([x * x for x in apart])))
            self.r2_n += 1
        for bins in (
            self.ece_5,
            self.ece_10,
        ):  # (low, high]; a confidence within 1e-9 above an edge belongs below it
            bins[max(0, math.ceil((most - SAME) * len(bins)) - 1)] += most - hit
        self.n += 1
        self.js += js
        self.distance += math.sqrt(js * math.log(2))
        self.bc += bc
        self.brier += brier
        self.hit += hit
        self.kl += (t_log - cross) * math.log(2)
        return js, bc, brier, hit

    def truth_f1(self):
        """Mean F1 over the labels of the truth."""
        both = zip(self.hits, self.true, self.predictions)
        return average(
            [2 * hit / (true + prediction) for hit, true, prediction in both if true > NOBODY]
        )

    def metrics(self):
        """The thirteen metrics of docs/metrics.md, NaN where one is not estimable."""
        n = self.n
        if not n:
            return dict.fromkeys(METRICS, NAN)
        around = [squared - total * total / n for squared, total in zip(self.t_squared, self.t)]
        explained = [
            1 - miss / spread for miss, spread in zip(self.missed, around) if spread > 1e-12 * n
        ]
        both = list(zip(self.hits, self.true, self.predictions))
        f1 = [
            2 * hit / (true + prediction) if true + prediction > NOBODY else None
            for hit, true, prediction in both
        ]
        values = (
            self.js / n,
            self.distance / n,
            self.bc / n,
            self.r2 / self.r2_n if self.r2_n else NAN,
            average(explained),
            math.fsum(map(abs, self.ece_5)) / n,
            math.fsum(map(abs, self.ece_10)) / n,
            self.hit / n,
            average([one for one in f1 if one is not None]),
            math.fsum([true * (one or 0.0) for true, one in zip(self.true, f1)]) / n,
            average([hit / true for hit, true, _ in both if true > NOBODY]),
            self.brier / n,
            self.kl / n,
        )
        return dict(zip(METRICS, values))


def average(values):
    return math.fsum(values) / len(values) if values else NAN


# --- intervals and p values -----------------------------------------------------------------------


def student(t, freedom):
    """P(|T| > t) of Student's distribution."""
    return beta_below(freedom / 2, 0.5, freedom / (freedom + t * t)) if t > 0 else 1.0


def beta_below(a, b, x):
    """The regularised incomplete beta function."""
    if x <= 0 or x >= 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):
        return 1 - beta_below(b, a, 1 - x)
    log = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
    front = math.exp(log + a * math.log(x) + b * math.log1p(-x)) / a
    # Lentz's method for the continued fraction
    tiny = 1e-300
    c, d = 1.0, 1 / ((1 - (a + b) * x / (a + 1)) or tiny)
    fraction = d
    for m in range(1, 10_000):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for part in (even, odd):
            d = 1 / ((1 + part * d) or tiny)
            c = (1 + part / c) or tiny
            fraction *= c * d
        if abs(c * d - 1) < 1e-15:
            break
    return front * fraction


@lru_cache(maxsize=1 << 14)
def student_edge(outside, freedom):
    """The t beyond which, on both sides together, a share `outside` of the distribution lies."""
    log = math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2)
    log -= math.log(freedom * math.pi) / 2
    t = 0.25  # the tail is convex: Newton's steps go up and never beyond the edge
    for _ in range(500):
        density = 2 * math.exp(log - (freedom + 1) / 2 * math.log1p(t * t / freedom))
        step = (student(t, freedom) - outside) / density
        t += step
        if abs(step) <= 1e-13 * t:
            break
    return t


STILL = "the same whichever cluster is left out"


class Interval:
    """A value's interval by the jackknife over speakers, or the reason why there is none.

    sizes    how many utterances each speaker has
    without  the value without each of the speakers
    """

    def __init__(self, value, without, sizes, level):
        self.value, self.reason, self.still = value, "", False
        self.low = self.high = self.error = NAN
        people, n = len(sizes), sum(sizes)
        self.people = people
        self.effective = n * n / sum([size * size for size in sizes]) if n else NAN
        self.freedom = self.effective - 1
        if not n:
            self.reason = "no utterances"
        elif value != value:
            self.reason = "not estimable"
        elif math.isinf(value):
            self.reason = "infinite"
        elif n == 1:
            self.reason = "one utterance"
        elif people == 1:
            self.reason = "one cluster"
        elif self.effective < 1.5:
            self.reason = "effective clusters"
        elif not all(map(math.isfinite, without)):
            self.reason = "without one"
        else:
            middle = math.fsum(without) / people
            apart = math.fsum([(one - middle) ** 2 for one in without])
            self.error = math.sqrt((people - 1) / people * apart)
            half = student_edge(1 - level, self.freedom) * self.error
            self.low, self.high = value - half, value + half
            spread = max(abs(one - middle) for one in without)
            # This close to 0, rounding decides whether there is a spread.
            self.still = spread <= SAME * max(1.0, abs(value))
            if spread <= 1e-12 * max(1.0, abs(value)):
                self.reason = STILL

    @classmethod
    def of_mean(cls, sums, sizes, *, level):
        """Of a mean over utterances, from each speaker's sum."""
        total, n = math.fsum(sums), sum(sizes)
        without = [
            (total - one) / (n - size) if n > size else NAN for one, size in zip(sums, sizes)
        ]
        return cls(total / n if n else NAN, without, sizes, level)

    @classmethod
    def of_ratio(cls, above, below, sizes, *, level, less_from=None):
        """Of the quotient of two sums over utterances, or of `less_from` minus the quotient."""
        over, under = math.fsum(above), math.fsum(below)
        ratios = [quotient(over - a, under - b) for a, b in zip(above, below)]
        ratios.append(quotient(over, under))
        if less_from is not None:  # a share of an error is defined only if the error is above 0
            rests = [*[under - b for b in below], under]
            ratios = [less_from - one if rest > 0 else NAN for one, rest in zip(ratios, rests)]
        return cls(ratios[-1], ratios[:-1], sizes, level)

    def p(self):
        """The jackknife's p."""
        if self.error != self.error:
            return NAN
        return student(abs(self.value) / self.error, self.freedom) if self.error else NAN

    def detectable(self, comparisons):
        """The smallest difference that is detected with 80 % power; NaN if p cannot be so small."""
        if self.error != self.error or too_few(self.people, comparisons):
            return NAN
        edge = student_edge(0.05 / comparisons, self.freedom) + student_edge(0.4, self.freedom)
        return edge * self.error


def turned(rows, width) -> Any:
    """The columns of rows."""
    return list(zip(*rows)) if rows else [()] * width


def quotient(above, below):
    return above / below if abs(below) > 1e-12 else NAN


FLIPS, MOST_EXACT, MOST_FLIPPED = 20_000, 16, 1000  # patterns, and speakers


def too_few(people, comparisons):
    """Whether a sign flip over so few speakers can call none of so many comparisons."""
    return 1 < people <= MOST_FLIPPED and comparisons * 2.0 ** (1 - people) >= 0.05


def sign_flip(sums):
    """The share of sign patterns whose sum is as far from 0 as that of the speakers' sums."""
    total = math.fsum(sums)
    size = math.fsum(map(abs, sums))
    if not size:
        return 1.0
    sums = sorted(sums, key=lambda one: (round(abs(one), 9), one))
    if total < 0:
        sums, total = [-one for one in sums], -total
    slack = SAME * size
    if len(sums) <= MOST_EXACT:
        signed_sums = [sums[0]]
        for one in sums[1:]:
            signed_sums = [x + one for x in signed_sums] + [x - one for x in signed_sums]
        return sum([abs(x) >= total - slack for x in signed_sums]) / len(signed_sums)
    return (1 + flips_beyond(sums, total, size, slack)) / (FLIPS + 1)


def flips_beyond(ordered, total, size, slack):
    """How many of the 20,000 patterns have a sum at least as far from 0. `total` is not negative.

    A pattern that flips terms with the sum X has the sum total − 2X. All X are added at once, as
    integers in 32-bit lanes of one long integer; the few too close to call are added again exactly.
    """
    lanes, raw, width = patterns(len(ordered))
    fine = 2520.0  # times this, sums of win shares are whole numbers
    whole = all(abs(one * fine - round(one * fine)) < 1e-6 for one in ordered)
    if whole and size * fine < 2**28:
        scale, blur = fine, 0.01
    else:
        scale, blur = 2**28 / size, len(ordered) / 2 + 2
    middle = 2**29
    lane_sums = lanes[-1] * middle
    for lane, one in zip(lanes, ordered):
        steps = round(one * scale)
        if steps:
            lane_sums += lane * steps
    sums = struct.unpack(f"<{FLIPS}I", lane_sums.to_bytes(4 * FLIPS, "little"))
    low, high = middle + slack / 2 * scale, middle + (total - slack / 2) * scale
    near = [at for at, x in enumerate(sums) if x <= low + blur or x >= high - blur]
    count = 0
    for at in near:
        x = sums[at]
        if x <= low - blur or x >= high + blur:
            count += 1
        else:
            row = raw[at * width : (at + 1) * width]
            flipped = [one for g, one in enumerate(ordered) if row[g >> 3] >> (7 - (g & 7)) & 1]
            count += abs(total - 2 * math.fsum(flipped)) >= total - slack
    return count


@lru_cache(maxsize=1)
def patterns(people):
    """The seeded patterns: per speaker an integer with one lane per pattern; bytes; their width."""
    width = (people + 7) // 8
    seed = seed_of(compact(["sign flip", people]))
    raw = hashlib.shake_256(str(seed).encode("ascii")).digest(FLIPS * width)
    lanes = []
    for g in range(people + 1):  # the last one has 1 in every lane
        bits = b"\1" * FLIPS
        if g < people:
            table = bytes([byte >> (7 - (g & 7)) & 1 for byte in range(256)])
            bits = raw[g >> 3 :: width].translate(table)
        spaced = bytearray(4 * FLIPS)
        spaced[::4] = bits
        lanes.append(int.from_bytes(spaced, "little"))
    return lanes, raw, width


def holm(ps, comparisons):
    """p values after Holm's correction over `comparisons` tests, some of which may be missing."""
    adjusted_ps: list = [NAN] * len(ps)
    least = 0.0
    order = sorted((p, place) for place, p in enumerate(ps) if p == p)
    for rank, (p, place) in enumerate(order):
        least = max(least, min(1.0, (comparisons - rank) * p))
        adjusted_ps[place] = least
    return adjusted_ps


# --- known: what the package ships, by its hashes -------------------------------------------------
# The package's tests check this section and print what belongs here.

DIGITS = 16  # of a hash, where it stands in a list
CLAIMS_SHA256 = "aae6176d0d5c7fffcc10a170c516ffc93d336706d2c972f93c61d1675f79de52"
README_SHA256 = "c993f9e55e09824055ac8b15821b6470059f83232f1f5dde72eeb08338cb5bae"
README_TITLE = "# How to check the bundle `%s`"  # the line above the hashed rest

# For each model's entry in inputs/models.json, 16 digits of the SHA-256 of three parts: what never
# changes, the revision, the price. A plan may give its own revision and price.
REVISION, PRICE = ("pinned", "revision", "revision_note"), ("price", "price_note")
MODELS = {
    "tiny": ("b2f649491fa3e413", "04c1aaa065846ada", "413c309fbcfa5ea7"),
    "qwen2-audio-7b": ("47a46edd309c7c38", "7a3c0490f0592eea", "413c309fbcfa5ea7"),
    "qwen2.5-omni-7b": ("e1984189cb237144", "fee7478265fb2f42", "413c309fbcfa5ea7"),
    "audio-flamingo-2": ("886399cf070db050", "3b61248617f05f9c", "c4356e954d3ff3db"),
    "audio-flamingo-3": ("b580b7d327577c6e", "a27816cf2808e75e", "413c309fbcfa5ea7"),
    "ultravox-v0.3": ("6157f216dea32aad", "7ccb2baaf7ea7042", "413c309fbcfa5ea7"),
    "ultravox-v0.4": ("794de9e39cc21bc7", "3349bba7f3a66a20", "413c309fbcfa5ea7"),
    "gpt-4o": ("23921bd2caf7b8a1", "2c430847b9684dfc", "da201d1e1a5a8310"),
    "gemini-2.0-flash": ("04bbed72ba76c41d", "ef33d8d2b8842dcb", "27487b07b9420dbe"),
    "gemini-2.5-pro": ("42a023c906450de0", "acaf7603a0af93b8", "8ec43c66344f59ca"),
}

# The embedded corpus: the rows of inputs/utterances.jsonl, 16 digits of the SHA-256 of each.
EMBEDDED = "tiny"
EMBEDDED_ID = "tiny-test-%05d"
EMBEDDED_SOURCE = [
    ["utterances.jsonl", "145efbc217b7c827d569ad738b5b97e49dd59e4014f3e8d7f176fb88c6369bb0"]
]
EMBEDDED_ROWS = (
    "43a495be0e9d2050d083f8e7d05d82e3a8774f626bfbddea34ed41a180dcd3d4cfb208e87b6ec9a0"
    "1a7feb28f029388bfa48731c5038c13614f5db54a99e272240fd1fe52e10b04a02dfbb1d6f242473"
    "a5589f7c36f0a1383c5bf947368128b3b34367e679455f31e49e6b55605523848e8327a5351f47cc"
    "e97624b63893a879798de67a0aec3ed5f897208b0e67c1244d1b056d654500134797b5426970f173"
    "d4c8821d36edd4bfdd36d595a6ff2da39f1b9ba0f141f8be71f3ca81c95aea12cd7a6d741230aec2"
    "69147eadac9a178f89f09a8d2165f5539a2de4dde2a3317b6850452fa8d7b79fdc5b1ff19a9e6c80"
    "12686d43d9a91928a5fdf45655deb6a3522e58df1610058cfa69cc6e553142e60f3ac31b99102d4e"
    "27d238f5b11e13253bcf55481fd28e680896d4459ca4e4c58ba4bcd7263aeaebff4f80fc2ef8117c"
    "d7dca85c09157dfa40f4ffd03ab711f19d1cfadf8ce6ec663a5975aaf7b0273b53a1f3aa5934a0a4"
    "1125fb8224e8d8a9e0815d1625d95fdfcae6a17e5db0f2830f9262d50b21e81c7f516a33a6bfef97"
    "4b8ec4c3695ce3f8b1e976b20949476d7d2c5a2bad01b91be8cf83dbedeb69ff1c2375d8551b06dd"
    "09b5eee1cf127bdf235e2c662aeddfe951259b9384b7bb5e930feb5d290af94808c09a8e576b4a9c"
    "38a371a59f1e5ab3fc56536c1e0ea91c8f10032630d59411195cf93ebe20f78b0d1cf291476d1ae4"
    "01997dd1d94e236af85479254f23042b789e00285dfc02cabe1db6428df299823004a4918a8213b3"
    "2c2dbbf0369a6942d0ed17ec3e140687ae3e2691145ec8b22f408e4787c802aabe6e592d98b35fd7"
    "b775feb01c3cc6354d09b832c133f2dd287a3067e3ef1752198e1cab3f23df2632b1409f1fe8ced5"
    "3e2e0f0b51415cb934c27c7f6ff64d5982459faa66edf2e184f3d884c40f304e079790e912d21447"
    "e76662f226985fa2646b7e6ad6b30a9b23c68eae204e90af528ce9e608822226e51874c7c4669c6e"
    "3ecfbe4e7fb56e90e44e056cefea9ab3ca46d4761e36237cc4f4ca2601fe76b12b731a5a296cb3f1"
    "c70dde0f07c789d5"
)

DEFAULTS: dict = {  # parts of a plan that move numbers
    "sampling": {"temperature": 1.0, "top_p": 1.0},
    "max_tokens": {"direct": 128, "cot": 384, "verifier": 32},
    "weights": {"tau": 1.0},
    "dirichlet": {"concentration": 10.0, "epsilon": 0.01},
    "ambiguity": {"rule": "bits", "thresholds": {"medium_from": 1.0, "high_from": 1.5}},
    "bootstrap": {"resamples": 2000, "level": 0.95},
}

EMBEDDED_COUNTS = (
    "audio_without_votes bad_audio dropped no_vote_in_label_set out_of_set_votes rows same_clip "
    "speakers utterances vote_unit votes votes_without_audio with_audio"
).split()

ACTED = ("emodb", "emov-db")  # corpora of acted labels, unless a run has votes of its own
RATED = ("tiny", "crema-d", "iemocap", "msp-podcast", "own")
COUNTED = ("utterances", "no_vote_in_label_set", "same_clip", "votes", "speakers", "vote_unit")


def own_model(entry):
    """Whether a plan's entry describes a model of the user's own."""
    return bool(entry.get("weights") or entry.get("served_model"))


def check_model(entry, model, note):
    """Note a model that is neither the package's own of that name nor marked as the user's own.

    Of a user's own model, only this is checked: its name and title differ from the table's.
    """
    name = entry["id"]
    where = f"inputs/models.json: {shown(name, 60)}"
    if own_model(entry):
        bare = "".join(re.findall("[a-z0-9]", name.lower()))
        dated = (re.fullmatch(re.escape(one) + r"-\d{2,8}(-\d\d)*", name) for one in MODELS)
        if bare in {"".join(re.findall("[a-z0-9]", one)) for one in MODELS} or any(dated):
            note(f"{where}: found the name of a model of the package, expected another name")
        title = f"{name} (named in the plan; not one of the paper's models)"
        if model.get("title") != title:
            note(f"{where}: key title: found {shown(model.get('title'))}, expected {shown(title)}")
        return
    if name not in MODELS:
        note(
            f"{where}: found a model that the package does not have, expected one of "
            f"{', '.join(MODELS)}"
        )
        return
    free = ("engine", *REVISION, *PRICE)
    fixed = {key: value for key, value in model.items() if key not in free}
    parts = [fixed, *({key: model.get(key) for key in part} for part in (REVISION, PRICE))]
    topics = ("what the model is", "its revision", "its price")
    given = (False, bool(entry["revision"]), entry.get("price") is not None)
    if given[1] and model.get("pinned") != entry["revision"]:
        note(
            f"{where}: key pinned: found {shown(model.get('pinned'))}, expected the plan's revision "
            f"{shown(entry['revision'])}"
        )
    for part, expected, what, own in zip(parts, MODELS[name], topics, given):
        if not own and sha256(compact(part))[:DIGITS] != expected:
            text = ", ".join(
                f"{key} {part[key]!r}"
                for key in ("title", "weights", "revision", "price")
                if key in part
            )
            note(f"{where}: {what}: found {shown(text)}, expected the package's own")


def kept_of(ids, limit):
    """Those of the sorted ids that a limit keeps: the first by a hash of each id."""
    chosen = sorted(ids, key=lambda one: seed_of(compact(["limit", one])))
    return sorted(chosen[:limit]) if limit is not None else ids


# --- the study: plan, cells, questions, utterances ------------------------------------------------


class Corpus:
    """The utterances of one corpus, sorted by id, in columns."""

    def __init__(self, name, labels, unit):
        self.name, self.labels, self.unit = name, labels, unit
        self.ids, self.clips, self.speakers, self.truths, self.levels = [], [], [], [], []
        self.votes, self.vote_sum, self.speaker_names = [], 0, set()
        self.names: list = []  # of speakers, or clusters, by number
        self._known, self._numbers = {}, {}

    def add(self, row, where):
        """One row of inputs/utterances.jsonl."""
        keys = (
            "corpus",
            "id",
            "speaker",
            "cluster",
            "audio_sha256",
            "duration_s",
            "votes",
            "truth_source",
        )
        if tuple(row) != keys:
            raise Broken(f"{where}: found keys {shown(', '.join(row))}, expected {', '.join(keys)}")
        texts = [row[key] for key in ("id", "speaker", "cluster", "audio_sha256")]
        if not all(isinstance(text, str) for text in texts):
            raise Broken(
                f"{where}: found a name that is not text, expected id, speaker, cluster and hash "
                "as text"
            )
        if row["audio_sha256"] and not HEX.fullmatch(row["audio_sha256"]):
            raise fault(f"{where}: key audio_sha256", row["audio_sha256"], "64 hex digits")
        votes = row["votes"]
        whole = isinstance(votes, list) and all(
            type(vote) is int and 0 <= vote < 2**31 for vote in votes
        )
        if not whole or len(votes) != len(self.labels) or not any(votes):
            raise fault(f"{where}: key votes", votes, f"{len(self.labels)} counts, not all 0")
        if row["truth_source"] not in ("votes", "acted"):
            raise fault(f"{where}: key truth_source", row["truth_source"], "votes or acted")
        if self.ids and row["id"] <= self.ids[-1]:
            raise fault(
                f"{where}: key id", row["id"], f"one that sorts behind {shown(self.ids[-1])}"
            )
        votes, acted = tuple(votes), row["truth_source"] == "acted"
        if len(self.ids) >= MOST_UTTERANCES:
            raise Unreadable(f"{where}: more than {MOST_UTTERANCES} utterances")
        if votes not in self._known:
            self._known[votes] = Truth(votes, self.unit)
        self.truths.append(self._known[votes])
        self.votes.append((votes, acted))
        self.vote_sum += 0 if acted else sum(votes)
        self.speaker_names.add(row["speaker"])
        speaker = row["speaker"] or row["cluster"]
        self.speakers.append(self._numbers.setdefault(speaker, len(self._numbers)))
        self.ids.append(row["id"])
        self.clips.append(row["audio_sha256"])

    def finish(self, ambiguity):
        """Set the levels, and which utterances are in each; `all` comes first."""
        self.levels = levels_of(self.votes, ambiguity["rule"], ambiguity["thresholds"])
        self.acted = sum(acted for _, acted in self.votes)
        self.names = list(self._numbers)
        del self.votes, self._known, self._numbers
        # Single raters are known only where every truth comes from raters with one vote each.
        self._splits, self.splittable = None, None
        self.rated = self.unit == 1 and not self.acted
        self.inside = {"all": bytes([1]) * len(self.ids)}
        for level in LEVELS:
            mask = bytes([here == level for here in self.levels])
            if level != "clear-cut" or any(mask):
                self.inside[level] = mask
        self.place = {one: place for place, one in enumerate(self.ids)}

    @property
    def splits(self):
        if self._splits is None:
            self._splits = Splits(self)
        return self._splits

    def people(self, mask):
        """How many speakers the utterances of a mask have."""
        return len(set(compress(self.speakers, mask)))


class Question:
    """What one model is asked about every clip of a corpus, and the parts of its draws' keys."""

    def __init__(self, model, corpus, strategy, audio, kind, count, plan):
        self.model, self.corpus, self.prompt, self.audio = model, corpus, strategy.prompt, audio
        self.kind, self.count, self.serves, self.judged = kind, count, [], 0
        self.judge = strategy.scorer if strategy.verified else "verifier"
        sampled = kind == "sample"
        self.decoding = {
            "kind": kind,
            "count": count,
            "temperature": float(plan["sampling"]["temperature"]) if sampled else 0.0,
            "top_p": float(plan["sampling"]["top_p"]) if sampled else 1.0,
            "max_tokens": 0 if kind == "forced" else plan["max_tokens"][strategy.prompt],
        }
        parts = [
            self.prompt,
            kind if kind == "greedy" else f"{kind}-{count}",
            *([audio] if audio != "clip" else []),
            *([self.judge] if self.judge != "verifier" else []),
        ]
        self.name = ".".join(parts)

    @property
    def path(self):
        return f"{self.model}/{self.corpus}/{self.name}.jsonl.gz"

    def row(self):
        """As config/questions.jsonl has it."""
        return {
            "model": self.model,
            "corpus": self.corpus,
            "question": self.name,
            "prompt_id": self.prompt,
            "decoding": self.decoding,
            "audio": self.audio,
            "serves": self.serves,
            "judged": self.judged,
        }


class Study:
    """Everything that the numbers rest on, except the answers."""

    def __init__(self, folder, findings):
        self.folder, self.findings = folder, findings
        self.run = folder.document("config/run.json")
        version = self.run.get("format", 1) if isinstance(self.run, dict) else None
        if version != FORMAT or type(version) is not int:
            raise Unreadable(
                f"config/run.json: found bundle format {shown(version, 20)}, expected {FORMAT}; "
                "check the bundle with the data/verify.py that it carries"
            )
        self.plan, self.corpora, self.missing = {}, {}, set()

    def read(self):
        """Read everything but the answers, and check it."""
        folder = self.folder
        self.plan = plan_of(folder.text(PLAN))
        self.models, self.judges, self.described, labels, units = (
            folder.document(f"inputs/{name}.json")
            for name in ("models", "judges", "corpora", "labels", "vote_units")
        )
        for name, document in (("models", self.models), ("corpora", self.described)):
            if not isinstance(document, dict):
                raise fault(f"inputs/{name}.json", document, "an object")
        check_shapes(self.plan, self.run, self.models, self.described)
        self.strategies = {
            entry["name"]: Strategy(entry, self.plan) for entry in self.plan["strategies"]
        }
        self.missing = {(item["kind"], item["id"]) for item in self.run["missing"]}
        self._check_documents(labels, units)
        self.corpora = {name: Corpus(name, labels[name], units[name]) for name in sorted(labels)}
        self._read_utterances()
        self.book = Book(folder.text(CLAIMS))
        self.cells = self._cells()
        self.questions = self._questions()

    def _check_documents(self, labels, units):
        plan, note = self.plan, self.findings.note
        entries = (*plan["models"], *plan["corpora"])
        for name in (*self.strategies, *[entry["id"] for entry in entries], plan["name"]):
            if not isinstance(name, str) or not NAME.fullmatch(name):
                raise fault(PLAN, name, "a name of small letters, digits, '.', '_', '-'")
        for part in ("models", "corpora", "strategies", "controls"):
            names = [
                entry["id" if part in ("models", "corpora") else "name"] for entry in plan[part]
            ]
            if len(set(names)) < len(names):
                raise fault(f"{PLAN}: {part}", names, "each name once")
        for control in plan["controls"]:
            strange = set(control["strategies"]) - set(self.strategies)
            if control["name"] not in ("shuffled_audio", "silence") or strange:
                raise fault(f"{PLAN}: controls", control, "shuffled_audio or silence of strategies")
        title = plan["title"]
        if not title.isprintable() or "|" in title:
            note(f"{PLAN}: title: found {shown(title)}, expected one line of plain text")
        keys = ["ambiemo", "claims_sha256", "format", "limit", "missing", "partial"]
        self.findings.expect("config/run.json: keys", sorted(self.run), keys)
        claims = self.folder.hashed("config/claims.yaml")[0]
        where = "config/run.json: key claims_sha256"
        self.findings.expect(where, self.run["claims_sha256"], claims)
        if claims != CLAIMS_SHA256:
            note(
                "config/claims.yaml: found other claims than the package's, written before any run"
            )
        first, _, rest = self.folder.text("README.md").partition("\n")
        if first != README_TITLE % plan["name"] or sha256(rest) != README_SHA256:
            note("README.md: found another text than the package's own")
        limit = self.run["limit"]
        if limit is not None and not (type(limit) is int and limit > 0):
            raise fault("config/run.json: key limit", limit, "null or a whole number above 0")
        self.findings.expect(
            "config/run.json: key partial",
            self.run["partial"],
            limit is not None or bool(self.missing),
        )
        planned = {entry["id"] for entry in plan["corpora"]}
        here = sorted(one for one in planned if ("corpus", one) not in self.missing)
        for name, document in (
            ("labels", labels),
            ("corpora", self.described),
            ("vote_units", units),
        ):
            if sorted(document) != here:
                raise fault(f"inputs/{name}.json: corpora", sorted(document), shown(here))
        for name in here:
            own_labels = labels[name]
            texts = isinstance(own_labels, list) and all(
                isinstance(one, str) and one for one in own_labels
            )
            if not texts or not 2 <= len(set(own_labels)) == len(own_labels) <= 1000:
                raise fault(f"inputs/labels.json: corpus {name}", own_labels, "labels that differ")
            if type(units[name]) is not int or units[name] < 1:
                raise fault(f"inputs/vote_units.json: corpus {name}", units[name], "1 or more")
        self._check_models()

    def _check_models(self):
        plan = self.plan
        own = plan["verifier"]["id"]
        entries = {entry["id"]: entry for entry in plan["models"]}
        judges = {name: name if own == "self" else own for name in entries}
        if self.judges != judges:
            raise fault("inputs/judges.json", self.judges, f"{shown(judges)} by {PLAN}")
        if any(strategy.verified for strategy in self.strategies.values()) and own != "self":
            entries.setdefault(own, plan["verifier"])
        if sorted(self.models) != sorted(entries):
            raise fault("inputs/models.json", sorted(self.models), f"{shown(sorted(entries))}")
        self.entries = entries
        for name, entry in entries.items():
            model, where = self.models[name], f"inputs/models.json: {name}"
            self.findings.expect(f"{where}: key id", model["id"], name)
            if entry["engine"]:
                self.findings.expect(f"{where}: key engine", model["engine"], entry["engine"])
            elif model["engine"] not in model["engines"][:1]:
                self.findings.note(
                    f"{where}: key engine: found {shown(model['engine'])}, expected its first "
                    "engine"
                )
            if entry["revision"]:
                self.findings.expect(f"{where}: key revision", model["revision"], entry["revision"])
            check_model(entry, model, self.findings.note)

    def _read_utterances(self):
        path, last = "inputs/utterances.jsonl", ""
        for number, row in self.folder.rows(path):
            name = row.get("corpus")
            if not isinstance(name, str) or name not in self.corpora or name < last:
                raise fault(
                    f"{path}: row {number}: key corpus", name, "inputs/labels.json's, sorted"
                )
            self.corpora[name].add(row, f"{path}: row {number}")
            self._check_utterance(name, row, f"{path}: row {number} ({shown(row['id'], 60)})")
            last = name
        for name, corpus in self.corpora.items():
            corpus.finish(self.plan["ambiguity"])
            self._check_counts(name, corpus)

    def _entry(self, name):
        return next(entry for entry in self.plan["corpora"] if entry["id"] == name)

    def embedded(self, name):
        """Whether a corpus is the one that the package carries, not a folder of the same name."""
        return name == EMBEDDED and not self._entry(name).get("root")

    def _check_utterance(self, name, row, where):
        """Check that a row has its corpus' kind of truth and, if embedded, is the package's own."""
        own_votes = self.described[name].get("options", {}).get("votes") is not None
        if name in (*ACTED, *RATED):
            expected = "acted" if name in ACTED and not own_votes else "votes"
            self.findings.expect(f"{where}: key truth_source", row["truth_source"], expected)
        if row["truth_source"] == "acted" and sum(row["votes"]) != 1:
            self.findings.note(
                f"{where}: key votes: found {row['votes']}, expected one acted label"
            )
        if self.embedded(name):
            place = row["id"][-5:]
            at = DIGITS * int(place) if place.isascii() and place.isdigit() else -1
            here = row["id"] == EMBEDDED_ID % (at // DIGITS) and at < len(EMBEDDED_ROWS)
            if not here or sha256(canonical(row))[:DIGITS] != EMBEDDED_ROWS[at : at + DIGITS]:
                self.findings.note(f"{where}: found another row than the package's own")

    def _check_embedded(self, name, corpus):
        """Check that all embedded utterances are there, or those that the limit keeps."""
        described, entry = self.described[name], self._entry(name)
        where, every = f"inputs/corpora.json: corpus {name}", len(EMBEDDED_ROWS) // DIGITS
        ids = [EMBEDDED_ID % number for number in range(every)]
        limits = [entry["limit"], self.run["limit"], entry.get("options", {}).get("limit")]
        given = [limit for limit in limits if limit is not None]
        loaded = every if limits[2] is None else min(every, limits[2])
        for key, expected in (("utterances", loaded), ("no_vote_in_label_set", 0)):
            self.findings.expect(f"{where}: key {key}", described["counts"].get(key), expected)
        self.findings.expect(f"{where}: counts", sorted(described["counts"]), EMBEDDED_COUNTS)
        self.findings.expect(f"{where}: sources", described.get("sources"), EMBEDDED_SOURCE)
        wanted = kept_of(ids, min(given) if given else None)
        if corpus.ids != wanted:
            apart = sorted(set(corpus.ids) ^ set(wanted))
            self.findings.note(
                f"inputs/utterances.jsonl: corpus {name}: found others than the package's own that "
                f"the limit keeps, such as {shown(apart[0], 60)}"
            )

    def _check_counts(self, name, corpus):
        """Check the numbers of utterances, votes and speakers against plan, run and loader."""
        where, counts = f"inputs/corpora.json: corpus {name}", self.described[name]["counts"]
        entry = self._entry(name)
        keys = ["counts", "options", "sources"]
        self.findings.expect(f"{where}: keys", sorted(self.described[name]), keys)
        for key, value in [*counts.items(), *counts.get("dropped", {}).items()]:
            if isinstance(value, float) and value.is_integer():
                raise fault(
                    f"{where}: key {shown(key, 40)}", value, "a whole number, as a run writes it"
                )
        sources = self.described[name]["sources"]
        for one in sources if isinstance(sources, list) else [sources]:
            pair = isinstance(one, list) and len(one) == 2 and all(isinstance(x, str) for x in one)
            if not pair or not one[0].isprintable() or not HEX.fullmatch(one[1]):
                raise fault(f"{where}: sources", one, "a path and a SHA-256")
        for key in COUNTED:
            if type(counts.get(key)) not in (int, float):
                raise fault(f"{where}: key {key}", counts.get(key), "a number")
        clips = [clip for clip in corpus.clips if clip]
        shared = len(clips) - len(set(clips))
        self.findings.expect(f"{where}: key same_clip", counts["same_clip"], shared)
        if self.embedded(name):
            self._check_embedded(name, corpus)
        for key, value in [*counts.items(), *counts.get("dropped", {}).items()]:
            if type(value) in (int, float) and value < 0:
                raise Broken(f"{where}: key {shown(key, 40)}: found {value}, expected 0 or more")
        self.findings.expect(
            f"{where}: vote_unit", counts.get("vote_unit", corpus.unit), corpus.unit
        )
        expect, n = entry["expect"], len(corpus.ids)
        whole = counts.get("utterances", expect)
        if expect is not None:
            self.findings.expect(f"{where}: utterances", whole, expect)
        limits = [whole - counts.get("no_vote_in_label_set", 0)] if whole is not None else []
        limits += [limit for limit in (entry["limit"], self.run["limit"]) if limit is not None]
        if limits:
            expected = min(limits) if whole is not None else min(n, *limits)
            self.findings.expect(f"inputs/utterances.jsonl: corpus {name}: utterances", n, expected)
        if not n:
            raise Broken(f"inputs/utterances.jsonl: corpus {name}: found no utterance")
        all_there = whole is not None and n == whole - counts.get("no_vote_in_label_set", 0)
        own_counts = {"votes": corpus.vote_sum / corpus.unit, "speakers": len(corpus.speaker_names)}
        for key, count in own_counts.items():
            total = counts.get(key)
            exact = all_there and (key == "votes" or not counts.get("no_vote_in_label_set", 0))
            if total is not None and (count > total or (exact and count != total)):
                self.findings.note(
                    f"{where}: key {key}: found {shown(total, 40)}, expected {count:g} by "
                    "inputs/utterances.jsonl"
                )

    # -- cells --

    def _cells(self):
        """The filled cells. cells.jsonl and cells.csv must be the plan's cells, in its order."""
        plan = self.plan
        controls = [("none", list(self.strategies))] + [
            (c["name"], c["strategies"]) for c in plan["controls"]
        ]
        expected = [
            (model["id"], corpus["id"], self.strategies[strategy], control)
            for model in plan["models"]
            for corpus in plan["corpora"]
            for control, named in controls
            for strategy in self.strategies
            if strategy in named
        ]
        rows = self.folder.rows("config/cells.jsonl")
        table = csv_rows(self.folder, "tables/cells.csv", CELLS)
        filled = []
        for cell in expected:
            model, corpus, strategy, control = cell
            skipped, cannot = self._skipped(model, corpus, strategy)
            row = {"model": model, "corpus": corpus, "strategy": strategy.name, "control": control}
            row.update(skipped=skipped, cannot=cannot)
            same_row("config/cells.jsonl", next(rows, None), row)
            scorer = "" if strategy.scorer == "none" else strategy.scorer
            parts = (strategy.prompt, strategy.decoding, scorer, strategy.aggregator)
            numbers = ["" if own is None else f"{own:.6f}" for own in strategy.own]
            fields = [corpus, model, strategy.name, control, *parts, str(strategy.count or 0)]
            same_row("tables/cells.csv", next(table, None), [*fields, *numbers, skipped])
            if not skipped:
                filled.append(cell)
        for path, rest in (("config/cells.jsonl", rows), ("tables/cells.csv", table)):
            for number, row in rest:
                expectation = "no more rows: the plan asks for no such cell"
                raise fault(f"{path}: row {number}", row, expectation)
        return filled

    def _skipped(self, model, corpus, strategy):
        """(why the cell is not filled, whether no machine can fill it)."""
        lacking = sorted(strategy.needs - self._able(model))
        judge, engine = self.judges[model], self.models[model]["engine"]
        most = MOST_BEAMS.get(engine, strategy.count)
        if lacking:
            return f"{model} cannot: {', '.join(lacking)}", True
        if strategy.decoding == "beam" and strategy.count > most:
            return f"{engine} searches with {most} beams at most, asked for {strategy.count}", True
        if strategy.verified and "verifier" not in self._able(judge):
            return f"{judge} cannot: verifier", True
        if ("model", model) in self.missing:
            return f"model {model} {self._why('model', model)}", False
        if ("corpus", corpus) in self.missing:
            return f"corpus {corpus} {self._why('corpus', corpus)}", False
        for kind in ("verifier", "model"):
            if strategy.verified and (kind, judge) in self.missing:
                return f"verifier {judge} {self._why(kind, judge)}", False
        return "", False

    def _why(self, kind, name):
        """Why something is missing: from the start, or because it failed in the run."""
        reasons = [
            item["what"]
            for item in self.run["missing"]
            if (item["kind"], item["id"]) == (kind, name)
        ]
        failed = [what for what in reasons if what.startswith("failed in this run: ")]
        return failed[-1] if failed else "missing here"

    def _able(self, model):
        spec = self.models[model]
        return set(spec["capabilities"]) - ENGINE_LACKS.get(spec["engine"], set())

    # -- questions --

    def _questions(self):
        """The questions of the filled cells. config/questions.jsonl must say the same."""
        most: dict = {}  # samples are nested: the largest number serves every smaller one
        for model, corpus, strategy, _ in self.cells:
            if strategy.decoding == "sample":
                asked = (model, corpus, strategy.prompt)
                most[asked] = max(most.get(asked, 0), strategy.count)
        questions: dict = {}
        for model, corpus, strategy, control in self.cells:
            question = self._question(model, corpus, strategy, control, most)
            question = questions.setdefault((model, corpus), {}).setdefault(question.name, question)
            if strategy.name not in question.serves:
                question.serves.append(strategy.name)
            if strategy.verified:
                question.judged = max(question.judged, strategy.count)
        self.most = most
        expected = {
            (model, corpus, name): one.row()
            for (model, corpus), all_of in questions.items()
            for name, one in all_of.items()
        }
        path = "config/questions.jsonl"
        for number, row in self.folder.rows(path):
            name = tuple(row.get(key) for key in ("model", "corpus", "question"))
            if not all(isinstance(part, str) for part in name) or name not in expected:
                raise fault(f"{path}: row {number}", name, "a question that cells ask, once")
            same_row(path, (number, row), expected.pop(name))
        for name in expected:
            raise Broken(f"{path}: found no row for {' '.join(name)}, expected one: a cell asks it")
        return questions

    def _question(self, model, corpus, strategy, control, most):
        audio = "silence" if control == "silence" else "clip"
        count = strategy.count
        if strategy.decoding == "sample":
            count = most[(model, corpus, strategy.prompt)]
        if strategy.decoding == "forced":
            count = len(self.corpora[corpus].labels)
        return Question(model, corpus, strategy, audio, strategy.decoding, count, self.plan)

    def question_of(self, model, corpus, column):
        """The name of the question whose answers give a column's predictions."""
        return self._question(model, corpus, column.strategy, column.control, self.most).name

    def cells_of(self, model, corpus):
        """The filled cells of a unit in the order of its predictions: by control, none first."""
        return [
            (strategy, control)
            for m, c, strategy, control in self.cells
            if (m, c) == (model, corpus)
        ]

    def asked(self, model, prompt_id, corpus):
        """A prompt's text as the model reads it, with the labels filled in."""
        path = f"config/prompts/{model}/{prompt_id}.txt"
        text = self.folder.text(path)
        if not text.endswith("\n") or text.endswith("\n\n"):
            raise fault(path, text[-20:], "one line feed at its end")
        text = text[:-1]
        return text.replace("{labels}", ", ".join(self.corpora[corpus].labels))

    def check_files(self):
        """Check the files: answers per question, scores if it is judged, predictions per unit."""
        expected = {f"predictions/baselines/{corpus}.jsonl.gz" for corpus in self.corpora}
        for (model, corpus), questions in self.questions.items():
            expected.add(f"predictions/{model}/{corpus}.jsonl.gz")
            expected.update(f"answers/{question.path}" for question in questions.values())
            expected.update(
                f"scores/{question.path}" for question in questions.values() if question.judged
            )
        there = {
            path
            for path in self.folder.paths
            if path.startswith(("answers/", "scores/", "predictions/"))
        }
        for path in sorted(expected - there):
            raise Unreadable(f"{path}: no such file, expected one: a filled cell needs it")
        for path in sorted(there - expected):
            raise Broken(f"{path}: found a file that no filled cell needs, expected none")
        asked = {strategy.prompt for strategy in self.strategies.values()} | {"verifier"}
        asked |= {one.scorer for one in self.strategies.values() if one.verified}
        prompts = {f"config/prompts/{model}/{name}.txt" for model in self.models for name in asked}
        for path in sorted(self.folder.paths - prompts):
            if path.startswith("config/prompts/"):
                raise Broken(f"{path}: found a prompt that nobody asks, expected none")


TEXT, LIST, MAP, COUNT, NUMBER = (str,), (list,), (dict,), (int,), (int, float)
NONE = type(None)


def need(where, value, **kinds):
    """Raise Broken if a map lacks a key, or a value has another type."""
    for key, kind in kinds.items():
        part = value.get(key) if isinstance(value, dict) else value
        there = isinstance(value, dict) and key in value and type(part) in kind
        if not there:
            expected = " or ".join("null" if one is NONE else one.__name__ for one in kind)
            raise fault(f"{where}: key {key}", part, expected)


def check_shapes(plan, run, models, described):
    """Check that the documents have the keys and types of values that this file reads."""
    need("config/run.json", run, limit=(int, NONE), missing=LIST, partial=(bool,), ambiemo=TEXT)
    need("config/run.json", run, claims_sha256=TEXT)
    for item in run["missing"]:
        need("config/run.json: missing", item, kind=TEXT, id=TEXT, what=TEXT, do=TEXT)
    need(PLAN, plan, name=TEXT, title=TEXT, seed=COUNT, models=LIST, corpora=LIST, strategies=LIST)
    need(PLAN, plan, controls=LIST, baselines=LIST, verifier=MAP, sampling=MAP, max_tokens=MAP)
    need(PLAN, plan, weights=MAP, dirichlet=MAP, ambiguity=MAP, bootstrap=MAP)
    need(f"{PLAN}: bootstrap", plan["bootstrap"], level=(float,))
    if not 0.5 <= plan["bootstrap"]["level"] <= 0.9999:
        raise fault(f"{PLAN}: bootstrap", plan["bootstrap"]["level"], "a level from .5 to .9999")
    need(f"{PLAN}: sampling", plan["sampling"], temperature=NUMBER, top_p=NUMBER)
    need(f"{PLAN}: max_tokens", plan["max_tokens"], direct=COUNT, cot=COUNT, verifier=COUNT)
    need(f"{PLAN}: weights", plan["weights"], tau=NUMBER)
    need(f"{PLAN}: dirichlet", plan["dirichlet"], concentration=NUMBER, epsilon=NUMBER)
    need(f"{PLAN}: ambiguity", plan["ambiguity"], rule=TEXT, thresholds=MAP)
    if plan["ambiguity"]["rule"] == "bits":
        edges = plan["ambiguity"]["thresholds"]
        need(f"{PLAN}: thresholds", edges, medium_from=NUMBER, high_from=NUMBER)
    own = (int, float, NONE)
    for entry in plan["strategies"]:
        need(f"{PLAN}: strategies", entry, name=TEXT, base=TEXT, decoding=TEXT, scorer=TEXT)
        need(f"{PLAN}: strategies", entry, aggregator=TEXT, count=(int, NONE))
        need(f"{PLAN}: strategies", entry, tau=own, concentration=own, epsilon=own)
    for entry in (*plan["models"], plan["verifier"]):
        need(f"{PLAN}: models", entry, id=TEXT, engine=TEXT, revision=TEXT)
    for entry in plan["corpora"]:
        need(f"{PLAN}: corpora", entry, id=TEXT, expect=(int, NONE), limit=(int, NONE))
    for entry in plan["controls"]:
        need(f"{PLAN}: controls", entry, name=TEXT, strategies=LIST)
    for name, spec in models.items():
        where = f"inputs/models.json: {shown(name, 60)}"
        need(where, spec, id=TEXT, engine=TEXT, engines=LIST, revision=(str, NONE))
        need(where, spec, capabilities=LIST)
    for name, corpus in described.items():
        need(f"inputs/corpora.json: {shown(name, 60)}", corpus, counts=MAP, options=MAP)


def same_row(path, numbered, expected):
    """Raise Broken if a row is missing or differs from the expected one."""
    if numbered is None:
        raise Broken(f"{path}: found no row for {shown(expected)}, expected one")
    number, row = numbered
    if isinstance(expected, dict):
        if list(row) != list(expected):
            raise fault(f"{path}: row {number}: keys", ", ".join(row), ", ".join(expected))
        for key, value in expected.items():
            if canonical(row[key]) != canonical(value):
                raise fault(f"{path}: row {number}: key {key}", row[key], f"{shown(value)}")
    elif row != expected:
        raise fault(f"{path}: row {number}", ",".join(row), f"{shown(','.join(expected))}")


CELLS = (
    "corpus model strategy control prompt decoding scorer aggregator count tau concentration "
    "epsilon skipped"
).split()


def csv_rows(folder, path, header):
    """(line number, fields) of a table whose cells may hold quoted text."""
    csv.field_size_limit(LONGEST_LINE)
    reader = csv.reader((line + "\n" for line in folder.lines(path)), strict=True)
    try:
        first = next(reader, None)
        if first != header:
            raise fault(f"{path}: line 1", first, f"{','.join(header)}")
        for fields in reader:
            yield reader.line_num, fields
    except csv.Error as error:
        raise Broken(f"{path}: line {reader.line_num}: {error}") from error


# --- one unit: a model on a corpus, one utterance at a time ---------------------------------------

AFTER_TEXT = re.compile(
    r', "tokens": (0|[1-9][0-9]{0,17}), "log_likelihood": (null|-?[0-9][0-9.e+-]*)'
    r', "finish_reason": "(stop|length|filtered|forced)"'
    r', "verdict": "(exact|repaired|partial|unparsed)", '
)
SCORE = re.compile(r'"score": (null|[0-9][0-9.e+-]*), ')
TAIL = re.compile(
    r'"rendered_prompt_sha256": "[^"\\\x00-\x1f]*", "prompt_tokens": (0|[1-9][0-9]{0,17}), '
    r'"audio_s": ([0-9][0-9.e+-]*), "truncated": (true|false)'
    r'(, "served_model": \["[^"\\\x00-\x1f]+"(?:, "[^"\\\x00-\x1f]+")*\])?}'
)


class Tally:
    """Counts of what came back to one question: a row of tables/draws.csv."""

    def __init__(self):
        self.draws = self.failed = self.candidates = self.tokens = self.cut = self.truncated = 0
        self.verdicts = dict.fromkeys(VERDICTS, 0)

    def add(self, other):
        for name in ("draws", "failed", "candidates", "tokens", "cut", "truncated"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for verdict in VERDICTS:
            self.verdicts[verdict] += other.verdicts[verdict]

    def fields(self):
        counts = (
            self.draws,
            self.failed,
            self.candidates,
            self.tokens,
            *self.verdicts.values(),
            self.cut,
            self.truncated,
        )
        return list(map(str, counts))


class Rows:
    """One file of answers or scores, taken row by row.

    Each row is compared with the text that its question expects, so few rows are parsed as JSON.
    """

    def __init__(self, folder, path, model):
        self.path, self.number = path, 0
        self.remote, self.hears = model["engine"] == "openai", model.get("audio_seconds")
        self.lines = folder.lines(path)
        self.tally = Tally()
        # What was sent, for the draws that did not fail: all prompt tokens, seconds by draw.
        self.prompt_tokens, self.seconds = 0, array("d")

    def where(self, about):
        return f"{self.path}: row {self.number} ({shown(about, 60)})"

    def take(self, head, index, about, tail=None, scored=False):
        """The next row, about candidate `index`.

        head    the beginning of the row, which the question gives
        tail    the end of the row, which the draw's first row gave; None for the first row
        Returns (text, tokens, likelihood, verdict, score, tail), or (reason, tail) of a failure.
        """
        self.number += 1
        line = next(self.lines, None)
        if line is None:
            raise Broken(
                f"{self.path}: found no row {self.number}, expected one about {shown(about, 60)}"
            )
        begin = f"{head}{index}, "
        if not line.startswith(begin + '"text": "'):
            return self._failure(line, head, index, about, tail, scored)
        start = len(begin) + 8
        try:
            text, end = PLAIN.raw_decode(line, start)
        except ValueError as error:
            raise Unreadable(f"{self.where(about)}: not JSON: {error}") from error
        match = AFTER_TEXT.match(line, end)
        if match is None or (
            quoted(text) != line[start:end] and canonical(text) != line[start:end]
        ):
            raise self._misfit(line, head, about)
        tokens, sure, reason, verdict = match.groups()
        rest, score = match.end(), None
        if scored:
            score_match = SCORE.match(line, rest)
            if score_match is None:
                raise self._misfit(line, head, about)
            rest, score = score_match.end(), number_of(score_match[1], self, line, head, about)
        if tail is None:
            tail = self._tail(line[rest:], line, head, about)
        elif line[rest:] != tail:
            raise Broken(
                f"{self.where(about)}: found {shown(line[rest:])} at its end, expected what the "
                "draw's first row says"
            )
        likelihood = number_of(sure, self, line, head, about)
        if likelihood is not None and not likelihood <= 1e-6:
            raise Broken(
                f"{self.where(about)}: key log_likelihood: found {sure}, expected null or a "
                "number up to 0"
            )
        tally = self.tally
        tally.candidates += 1
        tally.tokens += int(tokens)
        tally.cut += reason == "length"
        tally.verdicts[verdict] += 1
        return text, int(tokens), likelihood, verdict, score, tail

    def _failure(self, line, head, index, about, tail, scored):
        """Read a failed draw: one row, whose index is null in answers and kept in scores."""
        begin = f'{head}{index if scored else "null"}, "failure": "'
        if tail is not None or (index and not scored) or not line.startswith(begin):
            raise self._misfit(line, head, about)
        start = len(begin) - 1
        try:
            reason, end = PLAIN.raw_decode(line, start)
        except ValueError as error:
            raise Unreadable(f"{self.where(about)}: not JSON: {error}") from error
        if not reason or line[end : end + 2] != ", " or canonical(reason) != line[start:end]:
            raise self._misfit(line, head, about)
        self.tally.failed += 1
        return reason, self._tail(line[end + 2 :], line, head, about, True)

    def _tail(self, tail, line, head, about, failed=False):
        """Check the end of a row, which describes the whole draw, and count the draw."""
        match = TAIL.fullmatch(tail)
        if match is None:
            raise self._misfit(line, head, about)
        seconds = number_of(match[2], self, line, head, about)
        if match[4] and not self.remote:
            raise fault(f"{self.where(about)}: key served_model", match[4], "none of a local model")
        if match[3] == "true" and self.hears is None:
            raise fault(f"{self.where(about)}: key truncated", True, "false of this model")
        if self.hears is not None and seconds > self.hears + 1:
            expected = f"{self.hears} at most, as the model hears no more"
            raise fault(f"{self.where(about)}: key audio_s", seconds, expected)
        self.tally.draws += 1
        self.tally.truncated += match[3] == "true"
        if not failed:
            self.prompt_tokens += int(match[1])
            self.seconds.append(seconds)
        return tail

    def _misfit(self, line, head, about):
        """The error that says what is wrong with a row that is not as expected."""
        where = self.where(about)
        row, expected = canonical_row(line, where), STRICT.decode(head[:-11] + "}")
        for key, value in expected.items():
            if row.get(key) != value:
                expectation = (
                    f"{shown(value)} by its question; the answer, its clip, its prompt or its "
                )
                expectation += "model was exchanged, or a row is missing"
                return fault(f"{where}: key {key}", row.get(key), expectation)
        expectation = "the next candidate, with the keys and kinds of values of docs/bundle.md"
        return fault(where, line[len(head) - 11 :], expectation)

    def spent(self, price):
        """(mean tokens of a candidate, its price in dollars with prompt and audio)."""
        tally = self.tally
        if not tally.candidates:
            return NAN, NAN
        each, draws = tally.tokens / tally.candidates, len(self.seconds)
        if price is None or not draws:
            return each, NAN
        prompt, rate = self.prompt_tokens / draws, price["audio_tokens_per_second"]
        heard = min(math.fsum(self.seconds) / draws, prompt / rate) * rate
        text = prompt - heard
        paid = text * price["text_in"] + heard * price["audio_in"] + each * price["out"]
        return each, paid / 1e6

    def finish(self):
        if next(self.lines, None) is not None:
            raise Broken(
                f"{self.path}: row {self.number + 1}: found a row that no question asks for, "
                "expected none"
            )


def number_of(text, rows, line, head, about):
    """A JSON number in its only spelling, or None for null."""
    if text == "null":
        return None
    try:
        value = float(text)
    except ValueError:
        value = NAN
    if not math.isfinite(value) or (
        repr(value) != text and (len(text) > MOST_DIGITS or not WHOLE.fullmatch(text))
    ):
        raise rows._misfit(line, head, about)
    return value


class Asking:
    """Keys and seeds of the draws of one question, and of the verifier's draws about them."""

    CLIP, PROMPT, ABOUT = "the clip", "the prompt", "the candidate"

    def __init__(self, study, question):
        self.audio = question.audio
        labels = study.corpora[question.corpus].labels if question.kind == "forced" else None
        prompt = sha256(study.asked(question.model, question.prompt, question.corpus))
        parts = self._parts(study, question.model, question.decoding, prompt, "", labels)
        self.key, self.seed = (part.split(f'"{self.CLIP}"', 1) for part in parts)
        if question.judged:
            judge = study.judges[question.model]
            self.judged = question.judged
            self.listwise = question.judge == "listwise"
            self.judge_prompt = study.asked(judge, question.judge, question.corpus)
            decoding = {
                "kind": "greedy",
                "count": 1,
                "temperature": 0.0,
                "top_p": 1.0,
                "max_tokens": study.plan["max_tokens"]["verifier"],
            }
            parts = self._parts(study, judge, decoding, self.PROMPT, self.ABOUT, None)
            mark = re.compile(f'"(?:{self.CLIP}|{self.PROMPT}|{self.ABOUT})"')
            self.judge_key, self.judge_seed = (mark.split(part) for part in parts)

    def _parts(self, study, model, decoding, prompt, about, labels):
        """The canonical JSON texts of key and seed, with a mark where the clip's hash belongs."""
        plan_seed, spec = study.plan["seed"], study.models[model]
        asked = [self.CLIP, self.audio, prompt]
        key = [model, spec["revision"] or "", spec["engine"], *asked, decoding, plan_seed, about]
        seed = ["draw", model, *asked, {**decoding, "count": 0}, plan_seed, about]
        return compact(key if labels is None else [*key, labels]), compact(seed)

    def head(self, utterance, clip):
        """(key, beginning of the rows) of the draw about a clip."""
        middle = f'"{clip}"'
        key = sha256(middle.join(self.key))
        return key, row_head(utterance, key, clip, seed_of(middle.join(self.seed)))

    def order(self, key, index):
        """The order in which a listwise verifier sees the candidates."""
        order = sorted(range(self.judged), key=lambda one: seed_of(compact(["listwise", key, one])))
        return order[index:] + order[:index]

    def place(self, key, index):
        """At which place, 0 is the first, it sees the candidate that it is asked about."""
        return self.order(key, index).index(index)

    def judge_head(self, utterance, clip, key, index, texts):
        """(key, beginning of the row) of the draw in which the verifier judges one candidate."""
        text = texts[index]
        if self.listwise:
            order = self.order(key, index)
            text = "\n".join(f"Answer {at}: {texts[one]}" for at, one in enumerate(order, 1))
        prompt = sha256(self.judge_prompt.replace("{candidate}", text))
        values = (clip, prompt, f"{key}#{index}")
        key_and_seed = [
            first + "".join([f'"{value}"{part}' for value, part in zip(values, rest)])
            for first, *rest in (self.judge_key, self.judge_seed)
        ]
        own = sha256(key_and_seed[0])
        return own, row_head(utterance, own, clip, seed_of(key_and_seed[1]))


def row_head(utterance, key, clip, seed):
    return (
        f'{{"utterance_id": {canonical(utterance)}, "draw": "{key}", "audio_sha256": "{clip}", '
        f'"seed": {seed}, "index": '
    )


class Stream:
    """One question of a unit: its answers and scores, read in step."""

    def __init__(self, study, question):
        self.question, self.forced = question, question.kind == "forced"
        self.asking = Asking(study, question)
        models, judge = study.models, study.judges[question.model]
        self.answers = Rows(study.folder, f"answers/{question.path}", models[question.model])
        self.scores: Any = None
        self.quality = Quality(question.judged, question.judge == "listwise")
        self.places: tuple = ()  # of the judged candidates of the last clip, by a listwise verifier
        self.curves = None
        if question.audio == "clip" and (
            question.kind == "greedy" or (question.kind == "sample" and question.count > 1)
        ):
            self.curves = Curves(question)
        if question.judged:
            self.scores = Rows(study.folder, f"scores/{question.path}", models[judge])

    def draw(self, utterance, clip, reading, failures):
        """(candidates, failure) about one clip.

        A candidate is (distribution, likelihood, tokens, score, whether the score is given).
        """
        key, head = self.asking.head(utterance, clip)
        first = self.answers.take(head, 0, utterance)
        if len(first) == 2:
            failures.append(("answer", utterance, key, first[0]))
            return [], first[0]
        rows, tail = [first], first[5]
        for index in range(1, self.question.count):
            rows.append(self.answers.take(head, index, utterance, tail))
        if self.quality.listwise:
            self.places = tuple(self.asking.place(key, at) for at in range(self.question.judged))
        candidates, row = [], self.answers.number - len(rows) + 1
        texts = [one[0] for one in rows[: self.question.judged]]
        for index, (text, tokens, likelihood, verdict, _, _) in enumerate(rows):
            where = f"{self.answers.path}: row {row + index}"
            shares = reading.distribution(text, verdict, self.forced, where)
            score, given = None, False
            if index < self.question.judged:
                score, given = self._score(utterance, clip, key, index, texts, failures)
            candidates.append((shares, likelihood, tokens, score, given))
        return candidates, ""

    def _score(self, utterance, clip, key, index, texts, failures):
        own, head = self.asking.judge_head(utterance, clip, key, index, texts)
        row = self.scores.take(head, index, utterance, scored=True)
        if len(row) == 2:
            failures.append(("score", utterance, own, row[0]))
            return None, False
        text, _, _, verdict, row_score, _ = row
        where = self.scores.where(utterance)
        if self.asking.listwise:
            score = score_in_list(text, verdict, len(texts), self.places[index], where)
        else:
            score = score_of(text, verdict, where)
        if score is CANNOT_TELL:
            if row_score is None or not 0 <= row_score <= 10:
                raise Broken(
                    f"{self.scores.where(utterance)}: key score: found {row_score}, expected a "
                    "number from 0 to 10"
                )
            return row_score, True
        if row_score != score:
            raise Broken(
                f"{self.scores.where(utterance)}: key score: found {row_score}, expected {score} "
                "by its text"
            )
        return score, False

    def finish(self):
        self.answers.finish()
        if self.scores:
            self.scores.finish()


class Quality:
    """How well the verifier tells the candidates of one question apart, summed by speaker."""

    def __init__(self, judged, listwise):
        self.judged, self.listwise, self.people = judged, listwise, {}
        self.unread = 0  # clips with a candidate that needs repair

    def add(self, person, truth, candidates, places):
        """Add one clip: its judged candidates, and where a listwise verifier saw each."""
        triples = []
        for number, (shares, _, _, score, _) in enumerate(candidates, 1):
            if shares is CANNOT_TELL:
                self.unread += 1
                return
            if shares is not None and score is not None:
                triples.append((number, score, js_bits(truth, shares)))
        # clips, right and half of even, pairs of unlike J; clips, tau-b; clips, even, pairs;
        # clips, slopes above, below; then clips and scores by number; of a listwise verifier then
        # clips, slopes above, below; and clips, scores, their number by place
        width = 12 + 2 * self.judged + (4 + 3 * self.judged if self.listwise else 0)
        own = self.people.setdefault(person, [0.0] * width)
        if self.listwise:
            self._add_places(own, [(places[at - 1], score, js) for at, score, js in triples])
        for number, score, _ in triples:
            own[10 + 2 * number] += 1
            own[11 + 2 * number] += score
        if len(triples) < 2:
            return
        right = wrong = even = alike = even_unlike = 0
        for at, (_, score, js) in enumerate(triples):
            for _, other, far in triples[:at]:
                same = abs(js - far) < SAME
                alike += same
                even += score == other
                if not same and score == other:
                    even_unlike += 1
                elif not same:
                    right += (score > other) == (js < far)
                    wrong += (score > other) != (js < far)
        pairs = len(triples) * (len(triples) - 1) // 2
        if pairs > alike:
            own[0] += 1
            own[1] += right + even_unlike / 2
            own[2] += pairs - alike
            if pairs > even:
                own[3] += 1
                own[4] += (right - wrong) / math.sqrt((pairs - even) * (pairs - alike))
        own[5] += 1
        own[6] += even
        own[7] += pairs
        middle = sum([number for number, _, _ in triples]) / len(triples)
        own[8] += 1
        own[9] += sum([(number - middle) * score for number, score, _ in triples])
        own[10] += sum([(number - middle) * -js for number, _, js in triples])
        own[11] += sum([(number - middle) ** 2 for number, _, _ in triples])

    def _add_places(self, own, triples):
        """Add the judged candidates of a clip, by the place at which each was shown."""
        base = 12 + 2 * self.judged
        middle = sum([place for place, _, _ in triples]) / (len(triples) or 1)
        below = sum([(place - middle) ** 2 for place, _, _ in triples])
        if below:
            own[base] += 1
            own[base + 1] += sum([(place - middle) * score for place, score, _ in triples])
            own[base + 2] += sum([(place - middle) * -js for place, _, js in triples])
            own[base + 3] += below
        for place in {place for place, _, _ in triples}:
            scores = [score for at, score, _ in triples if at == place]
            at = base + 4 + 3 * place
            own[at] += 1
            own[at + 1] += sum(scores)
            own[at + 2] += len(scores)

    def quantities(self, level):
        """(name, number of the candidate or place) -> (interval, clips)."""
        intervals = {}
        parts = {
            "concordance": (0, 1, 2),
            "kendall_tau_b": (3, 4, 3),
            "tied_pairs": (5, 6, 7),
            "order_slope": (8, 9, 11),
            "order_slope_js": (8, 10, 11),
        }
        columns: dict = {(name, ""): places for name, places in parts.items()}
        for number in range(1, self.judged + 1):
            at = 10 + 2 * number
            columns[("mean_score", str(number))] = (at, at + 1, at)
        if self.listwise:
            base = 12 + 2 * self.judged
            columns[("place_slope", "")] = (base, base + 1, base + 3)
            columns[("place_slope_js", "")] = (base, base + 2, base + 3)
            for place in range(self.judged):
                at = base + 4 + 3 * place
                columns[("mean_score_at_place", str(place + 1))] = (at, at + 1, at + 2)
        for name, (n, above, below) in columns.items():
            rows = [(row[above], row[below], round(row[n])) for row in self.people.values()]
            rows = [row for row in rows if row[2]]
            interval = Interval.of_ratio(*turned(rows, 3), level=level)
            intervals[name] = interval, sum([row[2] for row in rows])
        return intervals


# --- more samples, over all subsets of them -------------------------------------------------------

MOST_CANDIDATES = 8  # of which all subsets are taken
MOST_SUBSETS, SEEDED_SUBSETS = 100, 64


@lru_cache(maxsize=1 << 10)
def subsets(many, k):
    """Subsets of k of `many` places: all if there are up to 100, else 64 seeded ones."""
    if math.comb(many, k) <= MOST_SUBSETS:
        return list(combinations(range(many), k))
    seed = seed_of(compact(["subsets", many, k]))
    samples = []
    for r in range(SEEDED_SUBSETS):
        order = sorted(
            (hashlib.sha256(f"{seed} {r} {place}".encode("ascii")).digest(), place)
            for place in range(many)
        )
        samples.append(tuple(sorted(place for _, place in order[:k])))
    return samples


@lru_cache(maxsize=MOST_CANDIDATES + 1)
def subsets_by_size(many):
    """For k = 1 to `many`: takes the subsets of k from a list of 2^many, by the bits of a place."""
    sizes = [bin(place).count("1") for place in range(2**many)]
    places = [[at for at, size in enumerate(sizes) if size == k] for k in range(1, many + 1)]
    return [itemgetter(*at) if len(at) > 1 else lambda all_of, at=at[0]: (all_of[at],)
            for at in places]  # fmt: skip


@lru_cache(maxsize=1 << 16)
def label_of_pools(share, values):
    """By k: what one label adds to JS of the mean of k of these values, averaged over all subsets.

    JS is a sum over labels of m log m / 2 - h log h, with h = (m + share) / 2, plus a number that
    depends on the votes alone.
    """
    sums, log2 = [0.0], math.log2
    for value in values:
        sums += [one + value for one in sums]
    terms = []
    for k, of_k in enumerate(subsets_by_size(len(values)), 1):
        means = [one / k for one in of_k(sums)]
        middle = [h for h in [(m + share) / 2 for m in means] if h > 0]
        total = sum([m * log2(m) for m in means if m > 0]) / 2 - sum([h * log2(h) for h in middle])
        terms.append(total / len(means))
    return terms


def pools(truth, rows):
    """([JS], [Brier]) of the mean of k of the candidates, averaged over all subsets, by k."""
    columns = [
        label_of_pools(share, tuple(sorted(values)))
        for share, values in zip(truth.shares, zip(*rows))
    ]
    js = [max(0.0, math.fsum(parts) - truth.bits / 2) for parts in zip(*columns)]
    a, b = brier_line(truth, rows)
    return js, [a + b / k for k in range(1, len(rows) + 1)]


def brier_line(truth, rows):
    """(a, b): the Brier score of the mean of k candidates, averaged over subsets, is a + b / k."""
    many = len(rows)
    middle = [math.fsum(values) / many for values in zip(*rows)]
    loss = math.fsum([(a - b) ** 2 for a, b in zip(truth.shares, middle)])
    if many < 2:
        return loss, 0.0
    apart = math.fsum([(a - b) ** 2 for row in rows for a, b in zip(row, middle)])
    return loss - apart / (many - 1) / many, apart / (many - 1)


def bests(truth, rows, scores):
    """([JS], [Brier]) of the best-scored of k candidates, ties shared, averaged over all subsets.

    Of a group of equal scores with `below` lower ones, j are in the subset and win in
    C(group, j) · C(below, k - j) of the subsets; then their mean is the answer.
    """
    many = len(rows)
    js, brier = [0.0] * many, [0.0] * many
    for top in set(scores):
        group = [row for row, score in zip(rows, scores) if score == top]
        below = sum([score < top for score in scores])
        own = pools(truth, group)
        for j in range(1, len(group) + 1):
            for k in range(j, min(below + j, many) + 1):
                ways = math.comb(len(group), j) * math.comb(below, k - j) / math.comb(many, k)
                js[k - 1] += ways * own[0][j - 1]
                brier[k - 1] += ways * own[1][j - 1]
    return js, brier


def over_subsets(truth, rows, scores, k):
    """(JS, Brier) of the best of k by score, or of their mean without scores, over `subsets`."""
    js = brier = 0.0
    chosen = subsets(len(rows), k)
    for places in chosen:
        if scores is not None:
            most = max(scores[at] for at in places)
            places = [at for at in places if scores[at] == most]
        middle = [math.fsum(values) / len(places) for values in zip(*(rows[at] for at in places))]
        js += js_bits(truth, middle)
        brier += sum([(a - b) * (a - b) for a, b in zip(truth.shares, middle)])
    return js / len(chosen), brier / len(chosen)


def numbers_of(count):
    """The values of k of a curve."""
    if count <= MOST_CANDIDATES:
        return list(range(1, count + 1))
    return sorted({2**power for power in range(count.bit_length())} | {count})


def limit_of(values, sizes):
    """The a of a + b / k, by least squares over the larger half of the sizes, at least two."""
    ordered = sorted(zip(sizes, values))
    above = [one for one in ordered if 2 * one[0] > ordered[-1][0]]
    sizes, values = zip(*(above if len(above) > 1 else ordered[-2:]))
    inverse = [1 / k for k in sizes]
    middle = sum(inverse) / len(sizes)
    spread = sum([(one - middle) ** 2 for one in inverse])
    slope = sum([(one - middle) * value for one, value in zip(inverse, values)]) / spread
    return sum(values) / len(values) - slope * middle


POOL, LIMIT = "linear_pool", "inf"


class Curves:
    """What more candidates of one question give, summed by speaker."""

    def __init__(self, question):
        self.question, self.unread, self.likely = question, 0, False
        self.greedy = question.kind == "greedy"
        # (method, k) -> speaker -> clips, JS, Brier, JS less that of the pool of as many draws;
        # and the largest such difference
        self.rows: dict = {}
        self.apart: dict = {}

    def methods(self):
        """(name, numbers k, draws per k)."""
        one = self.question
        if self.greedy:
            return [("greedy", [1], 1)]
        numbers = numbers_of(one.count)
        methods = [(POOL, [*numbers, LIMIT], 1), ("vote", numbers, 1)]
        if self.likely:
            methods.append(("best_by_likelihood", numbers, 1))
        if one.judged > 1:
            methods.append(("best_by_verifier", numbers_of(one.judged), 2))
        return methods

    def pool_of(self, draws):
        """The largest k of the pool that `draws` draws pay for; None if there is none."""
        able = [k for k in numbers_of(self.question.count) if k <= draws] if not self.greedy else []
        return max(able) if able else None

    def add(self, person, truth, candidates):
        """Add one clip."""
        self.likely = self.likely or any(one[1] is not None for one in candidates)
        if any(one[0] is CANNOT_TELL for one in candidates):
            self.unread += 1
            return
        parsed = [(one[0], one[1], one[3], at) for at, one in enumerate(candidates) if one[0]]
        if self.greedy:
            if parsed:
                shares = parsed[0][0]
                brier = sum([(a - b) * (a - b) for a, b in zip(truth.shares, shares)])
                self._note(person, "greedy", 1, js_bits(truth, shares), brier, None)
            return
        count, judged = self.question.count, self.question.judged
        rows = [one[0] for one in parsed]
        pool, points = self._curve(truth, rows, None, count)
        for k, (js, brier) in pool.items():
            self._note(person, POOL, k, js, brier, None)
        if len(rows) > 1:
            js = limit_of(*zip(*[(value, k) for k, value in points]))
            self._note(person, POOL, LIMIT, js, brier_line(truth, rows)[0], None)
        curves = {"vote": self._curve(truth, [tuple(vote(row)) for row in rows], None, count)[0]}
        likely = [one for one in parsed if one[1] is not None]
        curves["best_by_likelihood"], _ = self._curve(
            truth, [one[0] for one in likely], [one[1] for one in likely], count
        )
        if judged > 1:
            scored = [one for one in parsed if one[3] < judged and one[2] is not None]
            curves["best_by_verifier"], _ = self._curve(
                truth, [one[0] for one in scored], [one[2] for one in scored], judged
            )
        for method, curve in curves.items():
            draws = 2 if method == "best_by_verifier" else 1
            for k, (js, brier) in curve.items():
                self._note(person, method, k, js, brier, js - pool[self.pool_of(draws * k)][0])

    def _curve(self, truth, rows, scores, count):
        """({k: (JS, Brier)}, its distinct points [(k, JS)]); uses all candidates if k is larger."""
        many, numbers = len(rows), numbers_of(count)
        if not many:
            return {}, []
        ks = [*[k for k in numbers if k < many], many]
        if many <= MOST_CANDIDATES:
            js, brier = pools(truth, rows) if scores is None else bests(truth, rows, scores)
            losses = {k: (js[k - 1], brier[k - 1]) for k in ks}
        else:
            losses = {k: over_subsets(truth, rows, scores, k) for k in ks}
        return {k: losses[min(k, many)] for k in numbers}, [(k, losses[k][0]) for k in ks]

    def _note(self, person, method, k, js, brier, apart):
        own = self.rows.setdefault((method, k), {}).setdefault(person, [0, 0.0, 0.0, 0.0])
        own[0] += 1
        own[1] += js
        own[2] += brier
        if apart is not None:
            own[3] += apart
            self.apart[method, k] = max(self.apart.get((method, k), 0.0), abs(apart))


class Column:
    """The predictions of one cell: shares (NaN if there are none) and counts per level.

    tails and given are for the shuffled_audio control.
    """

    def __init__(self, strategy, control, corpus):
        self.strategy, self.control = strategy, control
        self.shares, self.present = array("d"), bytearray()
        self.nothing = array("d", [NAN] * len(corpus.labels))
        self.counts = {level: [0, 0, 0] for level in corpus.inside if level != "all"}
        self.compared = False  # whether the shuffled_audio control needs tails and given
        self.tails, self.given = array("q"), bytearray()
        self.several = control == "none" and getattr(strategy, "count", 1) != 1
        # What claims compare with: the plain mean of the candidates, by utterance.
        self.pool, self.pool_unread, self.pooled = [], 0, False
        self.unread = 0  # utterances with a candidate that needs repair
        # speaker -> utterances; JS of greedy, strategy, mean candidate, pool, best candidate;
        # effective candidates, ties
        self.gains: dict = {}

    def add(self, shares, level, candidates, unparsed, unscored):
        self.present.append(shares is not None)
        self.shares.extend(self.nothing if shares is None else shares)
        counts = self.counts[level]
        counts[0] += candidates
        counts[1] += unparsed
        counts[2] += unscored

    def row(self, place, width):
        """The prediction of one utterance, normalised: rounded shares need not add up to 1."""
        shares = self.shares[place * width : (place + 1) * width].tolist()
        total = math.fsum(shares)
        return shares if total == 1.0 else [share / total for share in shares]


class Prediction:
    """A recomputed prediction: the end of its row, and its parts in case a last digit differs."""

    __slots__ = ("bits", "counts", "failure", "given", "mixes", "parsed", "shares", "tail")

    def __init__(self, strategy, candidates, failure):
        unparsed = unscored = 0
        parsed, repair, given = [], False, False
        for shares, likelihood, tokens, score, score_given in candidates:
            if shares is None:
                unparsed += 1
            elif shares is CANNOT_TELL:
                repair = True
                parsed.append((shares, likelihood, tokens, score))
            else:
                given = given or score_given
                parsed.append((shares, likelihood, tokens, score))
        self.shares, self.bits, self.failure, self.tail = None, None, failure, None
        self.parsed = None if repair else parsed
        if repair:
            if strategy.scorer != "none":
                unscored = strategy.values(parsed).count(None)
        else:
            shares, self.bits, unscored = strategy.predict(parsed)
            self.shares = None if shares is None else [float(f"{share:.9g}") for share in shares]
        self.counts = (len(candidates), unparsed, unscored)
        if len(parsed) == unscored and not failure:
            self.failure = "no candidate has a score" if parsed else "no candidate parsed"
            repair = False
        self.given = repair or (given and strategy.verified)
        self.mixes = strategy.aggregator == "dirichlet_mixture"
        if not repair:
            bits = self.bits and [round(one, 9) + 0.0 for one in self.bits]
            self.tail = prediction_tail(self.shares, self.counts, self.failure, bits)


def prediction_head(utterance, strategy, control, clip_of):
    """The beginning of a row of predictions. utterance and clip_of are JSON texts."""
    return (
        f'{{"utterance_id": {utterance}, "strategy": "{strategy}", "control": "{control}", '
        f'"clip_of": {clip_of}, '
    )


def prediction_tail(shares, counts, failure, bits):
    distribution = "null" if shares is None else f"[{', '.join(map(repr, shares))}]"
    a, b, c = map(repr, bits) if bits else ("null", "null", "null")
    return (
        f'"distribution": {distribution}, "candidates": {counts[0]}, "unparsed": {counts[1]}, '
        f'"unscored": {counts[2]}, "failure": {canonical(failure)}, '
        f'"expected_bits": {a}, "spread_bits": {b}, "disagreement_bits": {c}}}'
    )


PREDICTION = (
    "utterance_id strategy control clip_of distribution candidates unparsed unscored failure "
    "expected_bits spread_bits disagreement_bits"
).split()


class PredictionRows:
    """A file of predictions, taken row by row."""

    def __init__(self, folder, path, findings):
        self.path, self.number, self.findings = path, 0, findings
        self.lines = folder.lines(path)

    def take(self, head, about):
        """The rest of the next row behind `head`."""
        self.number += 1
        line = next(self.lines, None)
        if line is None:
            raise Broken(
                f"{self.path}: found no row {self.number}, expected the prediction of "
                f"{shown(about)}"
            )
        if not line.startswith(head):
            row = canonical_row(line, f"{self.path}: row {self.number}")
            fields = {key: row.get(key) for key in PREDICTION[:4]}
            raise fault(f"{self.path}: row {self.number}", fields, f"{shown(head[:-2])}")
        return line[len(head) :]

    def read(self, head, tail, width):
        """The values of a row that is not exactly the recomputed one."""
        where = f"{self.path}: row {self.number}"
        row = canonical_row(head + tail, where)
        if list(row) != PREDICTION:
            raise fault(f"{where}: keys", ", ".join(row), ", ".join(PREDICTION))
        shares, bits = row["distribution"], [row[key] for key in PREDICTION[9:]]
        numbers = [*(shares or []), *[one for one in bits if one is not None]]
        counts = tuple(row[key] for key in PREDICTION[5:8])
        plain = (
            (shares is None or (isinstance(shares, list) and len(shares) == width))
            and all(type(one) in (int, float) for one in numbers)
            and all(math.copysign(1, one) > 0 for one in shares or [])  # -0.0 is another spelling
            and all(type(one) is int and 0 <= one < 2**31 for one in counts)
            and isinstance(row["failure"], str)
        )
        if not plain:
            raise fault(where, tail, f"{width} shares or null, counts and a text")
        if shares is not None and not (min(shares) >= 0 and abs(math.fsum(shares) - 1) <= 1e-6):
            raise fault(f"{where}: key distribution", shares, "shares that add up to 1")
        if (shares is None) != bool(row["failure"]):
            expected = "a reason where there is no distribution, and only there"
            raise fault(f"{where}: key failure", row["failure"], expected)
        return shares, counts, row["failure"], bits

    def compare(self, read, ours, labels):
        """Note where a row differs from the recomputed prediction by more than rounding."""
        where, note = f"{self.path}: row {self.number}", self.findings.expect
        shares, counts, failure, bits = read
        for key, value, expected in zip(PREDICTION[5:8], counts, ours.counts):
            note(f"{where}: key {key}", value, expected)
        if ours.tail is None:
            if shares is None:
                note(f"{where}: key distribution", None, "a distribution: a candidate has one")
            elif not ours.mixes:
                note(f"{where}: entropies", bits, [None] * 3)
            elif None in bits or abs(math.fsum(bits) - entropy(shares)) > 1e-7:
                note(f"{where}: entropies", bits, f"three that add up to {entropy(shares):.9f}")
            return
        note(f"{where}: key failure", failure, ours.failure)
        if (shares is None) != (ours.shares is None):
            note(f"{where}: key distribution", shares, ours.shares)
        elif shares is not None:
            for label, value, expected in zip(labels, shares, ours.shares):
                if abs(value - expected) > 2 * SHARE * expected:
                    note(f"{where}: share of {shown(label, 40)}", value, expected)
        for key, value, expected in zip(PREDICTION[9:], bits, ours.bits or (None,) * 3):
            if value is None or expected is None or abs(value - expected) > BITS:
                note(f"{where}: key {key}", value, expected)

    def finish(self):
        if next(self.lines, None) is not None:
            raise Broken(
                f"{self.path}: row {self.number + 1}: found a prediction that nothing asks for, "
                "expected none"
            )


class Counted:
    """Counts of what was recomputed and what was taken as given."""

    def __init__(self):
        self.computed = self.given = self.baselines = self.failed = self.believed = self.numbers = 0
        self.untold = self.gains_given = 0  # rows of floors.csv and gains.csv
        self.uncurved = 0  # questions of curves.csv
        self.unclaimed = self.unflipped = 0  # rows of claims.csv
        self.unjudged = self.selfish = 0  # questions and rows of verifier.csv


def clips_of_others(ids, speakers, seed, corpus):
    """Whose clip each utterance is given under shuffled_audio. Empty with one speaker.

    In a seeded order each takes the clip of the one before it. Then, place by place, a clip of the
    same speaker is swapped with that of the next place where utterance and clip are of others.
    """
    of = dict(zip(ids, speakers))
    if len(set(speakers)) < 2:
        return {}
    order = sorted(ids, key=lambda one: seed_of(compact(["shuffled_audio", seed, corpus, one])))
    clips = order[-1:] + order[:-1]
    n, steps, given_up = len(order), 0, set()
    for place, utterance in enumerate(order):
        own = of[utterance]
        if of[clips[place]] != own or own in given_up:
            continue
        for step in range(1, n):
            other = (place + step) % n
            if of[order[other]] != own and of[clips[other]] != own:
                clips[place], clips[other] = clips[other], clips[place]
                break
        else:
            given_up.add(own)
        steps += step
        if steps > MOST_STEPS:
            raise Unreadable(f"corpus {corpus}: the clips of shuffled_audio take too long to find")
    for own in given_up:
        others = [one for one in order if of[one] != own]
        kept = [place for place in range(n) if own == of[order[place]] == of[clips[place]]]
        for number, place in enumerate(kept):
            clips[place] = others[number % len(others)]
    return dict(zip(order, clips))


class Unit:
    """A model on a corpus: answers, scores and predictions, read in step."""

    def __init__(self, study, model, corpus, counted, wanted=()):
        self.study, self.model, self.counted = study, model, counted
        self.corpus = study.corpora[corpus]
        self.reading = Reading(self.corpus.labels)
        self.cells = study.cells_of(model, corpus)
        self.streams = {
            name: Stream(study, one) for name, one in study.questions[(model, corpus)].items()
        }
        self.asked: dict = {}
        self.shuffled = self._cycle(corpus)
        if not self.shuffled:  # with one speaker there is no clip of another
            self.cells = [cell for cell in self.cells if cell[1] != "shuffled_audio"]
        self.columns = [Column(strategy, control, self.corpus) for strategy, control in self.cells]
        self.alone = all(
            (strategy.name, control) != ("greedy", "none") for strategy, control in self.cells
        )
        shuffled = {
            strategy.name for strategy, control in self.cells if control == "shuffled_audio"
        }
        for column in self.columns:
            column.compared = column.strategy.name in shuffled
            key = (corpus, model, column.strategy.name, "pool")
            column.pooled = column.control == "none" and key in wanted
        path = f"predictions/{model}/{corpus}.jsonl.gz"
        self.rows = PredictionRows(study.folder, path, study.findings)

    def _cycle(self, corpus):
        """Whose clip each utterance is given under shuffled_audio: one of another speaker."""
        if not any(control == "shuffled_audio" for _, control in self.cells):
            return {}
        return clips_of_others(
            self.corpus.ids, self.corpus.speakers, self.study.plan["seed"], corpus
        )

    def walk(self, failures):
        """Read the whole unit."""
        corpus = self.corpus
        last = {clip: place for place, clip in enumerate(corpus.clips)}
        waiting: dict = {}  # predictions of a clip that a later utterance shares
        asked = []
        for column in self.columns:
            question = self.study.question_of(self.model, corpus.name, column)
            asked.append((column, self.streams[question]))
            self.asked[id(column)] = question
        for place, (utterance, clip) in enumerate(zip(corpus.ids, corpus.clips)):
            kept = waiting.get(clip)
            if kept is None:
                kept = self._predict(utterance, clip, asked, failures)
                if last[clip] > place:
                    waiting[clip] = kept
            elif last[clip] == place:
                del waiting[clip]
            predictions, judged, several = kept
            for stream, candidates, places in judged:
                person, truth = corpus.speakers[place], corpus.truths[place]
                stream.quality.add(person, truth, candidates, places)
            for stream, candidates in several:
                stream.curves.add(corpus.speakers[place], corpus.truths[place], candidates)
            self._compare(utterance, corpus.levels[place], predictions, place)
        for stream in self.streams.values():
            stream.finish()
        self.rows.finish()
        self._check_shuffled()

    def _predict(self, utterance, clip, asked, failures):
        failure_rows: list = []
        answers = {
            name: stream.draw(utterance, clip, self.reading, failure_rows)
            for name, stream in self.streams.items()
        }
        if failure_rows:
            failures.check(self.model, self.corpus.name, failure_rows)
        predictions: list = []
        for column, stream in asked:
            if column.control == "shuffled_audio":
                predictions.append(None)
                continue
            candidates, failure = answers[stream.question.name]
            count = column.strategy.count
            predictions.append(
                Prediction(column.strategy, candidates[:count] if count else candidates, failure)
            )
        judged = [
            (stream, answers[name][0][: stream.question.judged], stream.places)
            for name, stream in self.streams.items()
            if stream.question.judged
        ]
        several = [
            (stream, answers[name][0]) for name, stream in self.streams.items() if stream.curves
        ]
        return predictions, judged, several

    @staticmethod
    def _pool(column, ours):
        """The plain mean of the candidates that a strategy chooses from, None without any."""
        if ours.parsed is None:
            column.pool_unread += 1
            return None
        if not ours.parsed:
            return None
        rows = [candidate[0] for candidate in ours.parsed]
        return array("d", [float(f"{share:.9g}") for share in mean_of(rows)])

    def _gain(self, column, ours, js_pair, place, losses):
        """Add the parts of one utterance's gain."""
        truth, (greedy, own) = self.corpus.truths[place], js_pair
        parsed = ours.parsed
        if parsed is None:
            column.unread += 1
        elif not parsed:
            return
        row = column.gains.setdefault(self.corpus.speakers[place], [0, *[0.0] * 7])
        row[0] += 1
        row[1] += greedy
        row[2] += own
        if parsed is None:
            return
        asked = (self.asked[id(column)], len(parsed), ours.counts[0])
        if asked not in losses:
            rows = [candidate[0] for candidate in parsed]
            single = [js_bits(truth, one) for one in rows]
            pool = js_bits(truth, mean_of(rows))
            losses[asked] = sum(single) / len(single), pool, min(single)
        for at, value in enumerate(losses[asked], 3):
            row[at] += value
        effective, tied = column.strategy.effective(parsed)
        row[6] += effective
        row[7] += tied or 0

    def _compare(self, utterance, level, predictions, place):
        rows, counted, spelled = self.rows, self.counted, canonical(utterance)
        losses: dict = {}
        first = None  # JS of greedy
        waiting = []
        for column, ours in zip(self.columns, predictions):
            clip_of = spelled if ours is not None else canonical(self.shuffled[utterance])
            head = prediction_head(spelled, column.strategy.name, column.control, clip_of)
            tail = rows.take(head, (utterance, column.strategy.name, column.control))
            if ours is not None and tail == ours.tail:
                shares, counts = ours.shares, ours.counts
            else:
                read = rows.read(head, tail, len(self.corpus.labels))
                shares, counts = read[:2]
                if ours is not None:
                    rows.compare(read, ours, self.corpus.labels)
            column.add(shares, level, *counts)
            if shares is not None and column.control == "none":
                if column.strategy.name == "greedy":
                    first = js_bits(self.corpus.truths[place], column.row(place, len(shares)))
                elif column.several:
                    own = js_bits(self.corpus.truths[place], column.row(place, len(shares)))
                    waiting.append((column, ours, own))
            if column.compared:
                column.tails.append(hash(tail))  # 64 bits; the key differs in every process
                column.given.append(ours is not None and ours.given)
            if column.pooled:
                column.pool.append(self._pool(column, ours))
            counted.failed += shares is None
            if ours is not None:
                counted.given += ours.given
                counted.computed += not ours.given
        for column, ours, own in waiting:
            # Without greedy the strategy stands in for it, so that the other parts exist.
            if self.alone or first is not None:
                self._gain(column, ours, (own if self.alone else first, own), place, losses)

    def _check_shuffled(self):
        """Under shuffled_audio a prediction equals that of the utterance whose clip was given."""
        own = {column.strategy.name: column for column in self.columns if column.control == "none"}
        place = self.corpus.place
        for column in self.columns:
            if column.control != "shuffled_audio":
                continue
            without = own[column.strategy.name]
            for at, utterance in enumerate(self.corpus.ids):
                source = place[self.shuffled[utterance]]
                if column.tails[at] != without.tails[source]:
                    self.study.findings.note(
                        f"{self.rows.path}: {column.strategy.name} shuffled_audio "
                        f"{shown(utterance, 60)}: found another prediction than "
                        f"{shown(self.corpus.ids[source], 60)} has without the control"
                    )
                self.counted.given += without.given[source]
                self.counted.computed += not without.given[source]


class Failures:
    """log/failures.csv, read in step with the units.

    Answers that failed come first, then scores; each by model, corpus, utterance and key.
    """

    HEADER = ("kind", "model", "corpus", "utterance_id", "draw", "failure")
    PATH = "log/failures.csv"

    def __init__(self, folder):
        self.folder = folder
        self.rows = {kind: self._of(kind) for kind in ("answer", "score")}

    def _of(self, kind):
        seen_scores = False
        for number, fields in csv_rows(self.folder, self.PATH, list(self.HEADER)):
            known = len(fields) == 6 and fields[0] in ("answer", "score")
            if not known or (seen_scores and fields[0] == "answer"):
                raise fault(f"{self.PATH}: line {number}", ",".join(fields), "answers, then scores")
            seen_scores = fields[0] == "score"
            if fields[0] == kind:
                yield number, fields

    def check(self, model, corpus, failures):
        """Compare the failures of one utterance."""
        for kind, utterance, key, reason in sorted(failures):
            row = next(self.rows[kind], None)
            expected = [kind, model, corpus, utterance, key, reason]
            if row is None:
                raise Broken(
                    f"{self.PATH}: found no row for {shown(', '.join(expected))}, expected one"
                )
            if row[1] != expected:
                raise fault(f"{self.PATH}: line {row[0]}", row[1], shown(expected))

    def finish(self):
        for rows in self.rows.values():
            for number, fields in rows:
                raise fault(f"{self.PATH}: line {number}", ", ".join(fields), "no such failure")


# --- tables ---------------------------------------------------------------------------------------

COUNTS = ["n", "failed", "candidates", "unparsed", "unscored", "speakers"]
RESULTS = ["corpus", "model", "strategy", "control", "level", *COUNTS, "g_eff", "r2_pearson_n"]
RESULTS += [f"{name}{end}" for name in (*METRICS, AS_UNIFORM) for end in ("", "_low", "_high")]
RESULTS += ["by_bootstrap", "reason"]
PAIRS_HEADER = (
    "corpus model a a_control b b_control level metric better family n failed_a failed_b speakers "
    "g_eff difference low high method p p_method p_holm detectable detectable_family reason"
).split()
HEARD = (
    "corpus model strategy control n failed_clip failed_control speakers g_eff js_bits_with_clip "
    "js_bits_under_control difference low high method p p_method p_holm detectable unchanged heard "
    "reason"
).split()
FLOORS = (
    "js_divergence_bits", "brier_unbiased", "js_divergence_bits_vote_jackknife", "skill",
    "accuracy_untied", "accuracy_any_tied", "macro_f1_truth_labels", "brier_to_true",
    "js_divergence_bits_to_true",
)  # fmt: skip
FLOORS_HEADER = (
    "corpus model strategy quantity raters value low high n speakers g_eff reason"
).split()
CONTRASTS = ("share_removed", "gain", "overall_gain")
AMBIGUITY = "corpus model strategy verdict reason n speakers g_eff".split()
AMBIGUITY += ["share_low", "share_medium", "share_high"]
AMBIGUITY += [
    f"{name}_against_{of}{end}"
    for of in ("greedy", "tempered")
    for name in CONTRASTS
    for end in ("", "_low", "_high", "_p")
]
VERIFIER = (
    "corpus model judge question quantity candidate value low high n speakers g_eff reason"
).split()
CURVES = (
    "corpus model question method k draws tokens dollars_per_1000_clips n speakers g_eff "
    "same_draws_k js_divergence_bits js_divergence_bits_low js_divergence_bits_high brier "
    "brier_low brier_high same_draws same_draws_low same_draws_high reason pareto"
).split()
CURVED = ("js_divergence_bits", "brier", "same_draws")
GAINS = "corpus model strategy candidates n speakers g_eff left_out".split()
GAINS += [
    f"{name}{end}"
    for name in (
        "decoding averaging choice total mean_single linear_pool oracle regret realised "
        "effective_candidates ties"
    ).split()
    for end in ("", "_low", "_high")
]
GAINS += ["reason"]
PARTS = "decoding averaging choice total mean_single linear_pool oracle regret".split()
DRAWS = (
    "corpus model purpose prompt decoding audio draws failed candidates tokens exact repaired "
    "partial unparsed cut_at_max_tokens clips_truncated"
).split()
LEVELS_HEADER = "corpus level rule n votes entropy_bits entropy_bits_miller_madow".split()
DECIMAL = re.compile(r"-?[0-9]{1,300}\.[0-9]{6}|-?inf|")


def decimal(text):
    """A number of a table: NaN if empty, None if it is not a number with six decimals."""
    if not DECIMAL.fullmatch(text):
        return None
    return float(text) if text else NAN


def fields_of(text, where):
    """The fields of one line of a table; those with commas are quoted."""
    if '"' not in text:
        return text.split(",")
    try:
        return next(csv.reader([text], strict=True))
    except (csv.Error, StopIteration) as error:
        raise Broken(f"{where}: {error}") from error


class Table:
    """A table whose first fields are plain names. Each row is taken once, by these."""

    def __init__(self, folder, name, header, keys, findings):
        self.path, self.header, self.keys, self.findings = f"tables/{name}", header, keys, findings
        self.rows: dict = {}
        text = folder.text(self.path, LARGEST_TABLE) if self.path in folder.paths else ""
        lines = iter(text.split("\n"))
        first = next(lines)
        if not text:  # a table without rows has no header either
            return
        if first != ",".join(header):
            raise fault(f"{self.path}: line 1", first, f"{shown(','.join(header))}")
        for number, line in enumerate(lines, 2):
            if not line and next(lines, None) is None:
                break
            parts = line.split(",", keys)
            plain = len(parts) == keys + 1 and '"' not in line[: len(line) - len(parts[keys])]
            where = f"{self.path}: line {number}"
            if '"' not in line:
                whole = line.count(",") == len(header) - 1
            else:
                whole = plain and len(fields_of(parts[keys], where)) == len(header) - keys
            if not plain or not whole:
                raise fault(where, line, f"{len(header)} fields")
            rest = parts[keys]
            name = line[: -len(rest) - 1]
            if name in self.rows:
                raise fault(f"{self.path}: line {number}", name, "it once, it stands there twice")
            self.rows[name] = (number, rest)
        else:
            raise Broken(f"{self.path}: found no line feed at its end, expected one")

    def take(self, name):
        """(place for findings, fields by column) of a row; notes a missing row, (None, None)."""
        number, rest = self.rows.pop(",".join(name), (None, ""))
        if number is None:
            self.findings.note(f"{self.path}: found no row for {' '.join(name)}, expected one")
            return None, None
        where = f"{self.path}, line {number}"
        return where, dict(zip(self.header[self.keys :], fields_of(rest, where)))

    def drop(self, name):
        """Take a row without comparing it. True if there is one."""
        return self.rows.pop(",".join(name), None) is not None

    def finish(self):
        for name, (number, _) in self.rows.items():
            self.findings.note(f"{self.path}: line {number}: found a row for {name}, expected none")


REASON = re.compile(r"([a-z0-9_]+(?:, [a-z0-9_]+)*)(?: \((.*?)\)|: (.*?))(?:; |$)")


def reasons_of(text):
    """name -> reason, of "name, name (reason); name (reason)" or "name, name: reason; …"."""
    if text.startswith("every metric ("):
        return dict.fromkeys((*METRICS, AS_UNIFORM), text)
    reasons, at = {}, 0
    while at < len(text):
        match = REASON.match(text, at)
        if match is None or match.end() == at:
            return {"": text}
        reasons.update(dict.fromkeys(match[1].split(", "), match[2] or match[3] or ""))
        at = match.end()
    return reasons


class Tables:
    """All tables. Each unit takes its rows; a row that is left over should not be there."""

    def __init__(self, study, counted):
        folder, findings = study.folder, study.findings
        self.study, self.counted, self.findings = study, counted, findings
        self.results = Table(folder, "results.csv", RESULTS, 5, findings)
        self.paired = Table(folder, "paired.csv", PAIRS_HEADER, 8, findings)
        self.draws = Table(folder, "draws.csv", DRAWS, 6, findings)
        self.ambiguity = Table(folder, "ambiguity.csv", AMBIGUITY, 3, findings)
        self.curves = Table(folder, "curves.csv", CURVES, 5, findings)
        self.floors = Table(folder, "floors.csv", FLOORS_HEADER, 5, findings)
        self.gains = Table(folder, "gains.csv", GAINS, 3, findings)
        self.levels = Table(folder, "levels.csv", LEVELS_HEADER, 2, findings)
        self.verifier = (
            Table(folder, "verifier.csv", VERIFIER, 6, findings)
            if "tables/verifier.csv" in folder.paths
            else None
        )
        self.heard = (
            Table(folder, "heard.csv", HEARD, 4, findings)
            if "tables/heard.csv" in folder.paths
            else None
        )
        self.claims = Table(folder, "claims.csv", CLAIMS_HEADER, 1, findings)
        self.evidence = Evidence(study, study.book)
        self.baselines = {}
        self.level = study.plan["bootstrap"]["level"]

    def text(self, where, row, key, expected):
        self.counted.numbers += 1
        if row[key] != str(expected):
            self.findings.note(
                f"{where}, column {key}: found {shown(row[key], 60)}, expected {expected}"
            )

    def number(self, where, row, key, expected):
        """Compare a number with six decimals; "" says that it is not estimable."""
        self.counted.numbers += 1
        text, value = row[key], decimal(row[key])
        if value is not None:
            neither = value != value and expected != expected
            if value == expected or abs(value - expected) <= TABLE or neither:
                return
        expected_text = "an empty field" if expected != expected else f"{expected:.6f}"
        self.findings.note(
            f"{where}, column {key}: found {shown(text, 60) or 'an empty field'}, expected "
            f"{expected_text}"
        )

    def order(self, where, row, low, high):
        """Check that a bootstrap's bounds are in order or empty (no recomputing). True if there."""
        ends = decimal(row[low]), decimal(row[high])
        if None in ends or (ends[0] != ends[0]) != (ends[1] != ends[1]):
            expected = "two numbers, or nothing"
        elif ends[0] > ends[1]:
            expected = f"no more than {row[high]}"
        else:
            return ends[0] == ends[0]
        self.findings.note(
            f"{where}, column {low}: found {shown(row[low], 60)}, expected {expected}"
        )
        return False

    def bounds(self, where, row, name, interval, low="", high=""):
        """The bounds of an interval. Returns the reason why the row has none, "" if it has."""
        low, high = low or f"{name}_low", high or f"{name}_high"
        there = bool(row[low] or row[high])
        if interval.reason and not (interval.still and there):
            self.number(where, row, low, NAN)
            self.number(where, row, high, NAN)
            return interval.reason
        if interval.still and not there:
            return STILL
        self.number(where, row, low, interval.low)
        self.number(where, row, high, interval.high)
        return ""

    def jackknife_p(self, where, row, key, interval):
        """Check the p of an interval: empty without one; either way if `still`, by rounding."""
        there = interval.still and row[key] if interval.reason or interval.still else True
        self.number(where, row, key, interval.p() if there else NAN)

    def why(self, where, row, reason):
        """Check a reason by its kind, as its words are not fixed."""
        self.counted.numbers += 1
        if bool(reason) != bool(row["reason"]) or reason not in row["reason"]:
            text = shown(row["reason"], 80) or "nothing"
            expected = f"one that says: {reason}" if reason else "nothing"
            self.findings.note(f"{where}, column reason: found {text}, expected {expected}")

    def whys(self, where, row, reasons, every=()):
        """Reasons of several columns: name -> kind. A reason of `every` column needs no names."""
        self.counted.numbers += 1
        texts = reasons_of(row["reason"])
        if every and len(reasons) == len(every) and len(set(reasons.values())) == 1:
            texts = dict.fromkeys(every, row["reason"])
        for name in sorted(set(texts) ^ set(reasons)):
            kind = reasons.get(name, "")
            self.findings.note(
                f"{where}, column reason: found {shown(texts.get(name, 'nothing'), 80)} for {name}"
                f", expected {f'one that says: {kind}' if kind else 'nothing'}"
            )
        for name in sorted(set(texts) & set(reasons)):
            if reasons[name] not in texts[name]:
                self.findings.note(
                    f"{where}, column reason: found {shown(texts[name], 80)} for {name}, expected "
                    f"one that says: {reasons[name]}"
                )

    # -- floors and gains --

    def check_floor(self, name, interval, n):
        """One row of floors.csv."""
        where, row = self.floors.take(name)
        if row is not None:
            self.quantity(where, row, interval, n)

    def quantity(self, where, row, interval, n):
        """A value with its interval, or with a reason."""
        self.number(where, row, "value", interval.value)
        self.text(where, row, "n", n)
        self.text(where, row, "speakers", interval.people)
        self.number(where, row, "g_eff", interval.effective)
        reason = self.bounds(where, row, "", interval, "low", "high")
        if n and interval.value == interval.value:
            self.why(where, row, reason)
        elif not row["reason"]:
            self.findings.note(f"{where}, column reason: found nothing, expected one")

    def check_floors(self, name, measured):
        """How good the numbers of one column look next to what so few raters allow."""
        rows = measured.floors.values()
        untied, hits, any_tied, n, brier, js, against = turned(rows, 7)
        sums = measured.by_person("all")
        sizes = [sums[person].n for person in measured.floors]
        quantities = {
            "brier_unbiased": (brier, n),
            "js_divergence_bits_vote_jackknife": (js, n),
            "accuracy_untied": (hits, untied),
            "accuracy_any_tied": (any_tied, sizes),
        }
        for quantity, (above, below) in quantities.items():
            people = [(a, round(b)) for a, b in zip(above, below) if b]
            interval = Interval.of_mean(*turned(people, 2), level=self.level)
            self.check_floor((*name, quantity, ""), interval, sum([b for _, b in people]))
        rated = [(a, b, round(c)) for a, b, c in zip(brier, against, n) if c]
        skill = Interval.of_ratio(*turned(rated, 3), level=self.level, less_from=1.0)
        if any(b != b for _, b, _ in rated):  # one speaker: there is no other to compare with
            skill = UNKNOWN
        self.check_floor((*name, "skill", ""), skill, sum([c for _, _, c in rated]))
        total = measured.sums["all"]
        without = [total.without(sums[person]).truth_f1() for person in measured.floors]
        f1 = Interval(total.truth_f1(), without, sizes, self.level)
        self.check_floor((*name, "macro_f1_truth_labels", ""), f1, total.n)
        for quantity in ("brier_to_true", "js_divergence_bits_to_true"):
            self.counted.untold += self.floors.drop((*name, quantity, ""))

    def drop_true(self, corpus):
        """Skip the embedded corpus' true distribution, which is not part of the bundle."""
        for quantity in FLOORS:
            truly = (corpus.name, "baselines", "true_distribution", quantity, "")
            self.counted.untold += self.floors.drop(truly)

    def check_raters(self, corpus):
        """What the raters themselves reach."""
        name = (corpus.name, "baselines", "")
        best = [1 / sum([share > 0 for share in truth.top]) for truth in corpus.truths]
        everyone = [1] * len(best)
        self.check_floor((*name, "best_accuracy", ""), *self._over(corpus, best, everyone))
        rated = [corpus.rated and truth.votes > 1 for truth in corpus.truths]
        right = [one_rater_right(t) if own else 0.0 for t, own in zip(corpus.truths, rated)]
        quantity = "leave_one_rater_out_accuracy"
        self.check_floor((*name, quantity, ""), *self._over(corpus, right, rated))
        if not corpus.rated:
            quantity = "second_panel_js_bits"
            self.check_floor((*name, quantity, ""), *self._over(corpus, right, rated))
            return
        for size in range(1, LARGEST_PANEL):
            row = (*name, "second_panel_js_bits", str(size))
            if size > 1 and ",".join(row) not in self.floors.rows:
                break
            enough = [truth.votes >= 2 * size for truth in corpus.truths]
            apart = [
                panel_bits(counts, 2 * size) - panel_bits(counts, size) if own else 0.0
                for own, counts in zip(enough, (tuple(sorted(t.counts)) for t in corpus.truths))
            ]
            estimate = self._over(corpus, apart, enough)
            self.check_floor(row, *estimate)

    def _over(self, corpus, values, counted):
        """(interval, n) of the mean of values over the utterances that count."""
        people: dict = {}
        for person, value, one in zip(corpus.speakers, values, counted):
            if one:
                own = people.setdefault(person, [0.0, 0])
                own[0] += value
                own[1] += 1
        columns = turned(people.values(), 2)
        return Interval.of_mean(*columns, level=self.level), sum(columns[1])

    def check_gains(self, corpus, model, column, greedy):
        """Check the parts of the gain of a strategy with several candidates.

        greedy: whether the plan has a greedy answer of this model.
        """
        where, row = self.gains.take((corpus.name, model, column.strategy.name))
        if row is None:
            return
        count = column.strategy.count or len(corpus.labels)
        people = list(column.gains.values())
        n = sum([one[0] for one in people])
        self.text(where, row, "candidates", count)
        self.text(where, row, "n", n)
        self.text(where, row, "speakers", len(people))
        self.text(where, row, "left_out", len(corpus.ids) - n)
        sizes, first, own, single, pool, oracle, effective, tied = turned(people, 8)
        scored = column.strategy.scorer != "none"

        def apart(a, b):
            return list(map(sub, a, b))

        parts = {
            "decoding": apart(single, first),
            "averaging": apart(pool, single),
            "choice": apart(own, pool),
            "total": apart(own, first),
            "mean_single": single,
            "linear_pool": pool,
            "oracle": oracle,
            "regret": apart(own, oracle),
            "effective_candidates": effective,
            "ties": tied,
        }
        intervals = {
            key: Interval.of_mean(sums, sizes, level=self.level) for key, sums in parts.items()
        }
        realised = Interval.of_ratio(
            apart(single, own), apart(single, oracle), sizes, level=self.level
        )
        if realised.reason == "not estimable":
            realised.reason = "equally good"
        intervals["realised"] = realised
        self.number(where, row, "g_eff", intervals["total"].effective)
        if not scored:
            intervals["ties"] = UNKNOWN
        if not greedy:
            intervals["decoding"] = intervals["total"] = UNKNOWN
        if column.unread:
            self.counted.gains_given += 1
            intervals = {"total": intervals["total"]}
            self.check_parts(where, row)
        reasons = {}
        for key, interval in intervals.items():
            self.number(where, row, key, interval.value)
            reason = self.bounds(where, row, key, interval)
            if key == "ties" and not scored:
                reason = "no scores"
            if key in ("decoding", "total") and not greedy:
                reason = "no greedy answer"
            if reason:
                reasons[key] = reason
        if n and not column.unread:
            self.whys(where, row, reasons, intervals)

    def check_parts(self, where, row):
        """Check that the parts of a gain add up, where candidates need repair."""
        value = {key: decimal(row[key]) for key in row if key in PARTS}
        if None in value.values():
            self.findings.note(f"{where}: found a field that is no number of six decimals")
            return
        strategy = value["linear_pool"] + value["choice"]
        sums = {
            "total": value["decoding"] + value["averaging"] + value["choice"],
            "linear_pool": value["mean_single"] + value["averaging"],
            "regret": strategy - value["oracle"],
        }
        for key, expected in sums.items():
            self.counted.numbers += 1
            if abs(value[key] - expected) > 4 * TABLE:
                expected_text = f"{expected:.6f}, the sum of its parts"
                self.findings.note(
                    f"{where}, column {key}: found {row[key]}, expected {expected_text}"
                )
        for key in PARTS:
            self.order(where, row, f"{key}_low", f"{key}_high")

    # -- one unit --

    def unit(self, unit):
        """The rows of a model on a corpus."""
        corpus, model = unit.corpus, unit.model
        by_cell = {(column.strategy.name, column.control): column for column in unit.columns}
        greedy = self.measured(corpus, by_cell.get(("greedy", "none")))
        confirmed = {
            f"{name}_sampled" if name in STAND_IN and (name, "none") not in by_cell else name
            for name in IN_FAMILY
        }
        family: list = []
        heard: list = []
        others: list = []
        for column in unit.columns:
            if column.control != "none":
                continue
            name = column.strategy.name
            own = greedy if name == "greedy" else self.measured(corpus, column)
            self.check_floors((corpus.name, model, name), own)
            self.check_results((corpus.name, model, name, "none"), own, corpus)
            if greedy is not None and name != "greedy":
                pair = Pair(own, greedy)
                ours = family if name in confirmed else None
                self.check_pair(corpus, model, pair, ("greedy", "none"), ours)
            if name != "greedy":
                others.append(own)
            if column.several:
                self.check_gains(corpus, model, column, greedy is not None)
            for other in unit.columns:
                if other.strategy.name == name and other.control != "none":
                    under = self.measured(corpus, other)
                    self.check_results((corpus.name, model, name, other.control), under, corpus)
                    pair = Pair(own, under)
                    self.check_pair(corpus, model, pair, (name, other.control), None)
                    heard.append(pair)
            for baseline, measured in self.baselines[corpus.name].items():
                self.check_pair(corpus, model, Pair(own, measured), (baseline, "none"), None)
        self.check_family(family, len(IN_FAMILY))
        words = self.check_heard(corpus, model, heard) if heard else {}
        self.check_ambiguity(corpus, model, others, greedy, words)
        self.check_draws(unit)
        self.check_verifier(unit)
        self.check_curves(unit)
        self.collect(unit)

    def measured(self, corpus, column):
        return None if column is None else Measured(corpus, column)

    def check_results(self, name, measured, corpus):
        for level in corpus.inside:
            where, row = self.results.take((*name, level))
            if row is None:
                continue
            sums, column = measured.sums[level], measured.column
            total = sum(corpus.inside[level])
            tallies = [
                sum(counts[i] for at, counts in column.counts.items() if level in ("all", at))
                for i in range(3)
            ]
            people = list(measured.by_person(level).values())
            values = (sums.n, total - sums.n, *tallies, len(people), sums.r2_n)
            for key, value in zip([*COUNTS, "r2_pearson_n"], values):
                self.text(where, row, key, value)
            sizes = [person.n for person in people]
            without = [sums.without(person).metrics() for person in people]
            reasons, bootstrapped, effective = {}, [], NAN
            for key, value in sums.metrics().items():
                self.number(where, row, key, value)
                if key in BOOTSTRAPPED:
                    if self.order(where, row, f"{key}_low", f"{key}_high"):
                        bootstrapped.append(key)
                    else:
                        reasons[key] = ""
                    continue
                own = Interval(value, [one[key] for one in without], sizes, self.level)
                effective = own.effective
                reasons[key] = self.bounds(where, row, key, own)
                if not reasons[key]:
                    del reasons[key]
            self.number(where, row, "g_eff", effective)
            filled = measured.filled[level]
            own = Interval.of_mean(*turned(filled.values(), 2), level=self.level)
            self.number(where, row, AS_UNIFORM, own.value)
            reason = self.bounds(where, row, AS_UNIFORM, own)
            if reason:
                reasons[AS_UNIFORM] = reason
            self.text(where, row, "by_bootstrap", ", ".join(bootstrapped))
            if sums.n:
                self.whys(where, row, reasons)
            elif not row["reason"]:
                self.findings.note(f"{where}, column reason: found nothing, expected one")
        measured.groups = {}  # what follows needs the four sums of each speaker only

    def check_pair(self, corpus, model, pair, name, family):
        """Differences a − b on the utterances where both have a prediction."""
        own = pair.a.column.strategy.name, pair.a.column.control
        for level, inside in corpus.inside.items():
            people = list(pair.people[level].values())
            n, total = sum(one[0] for one in people), sum(inside)
            failed = [total - side.sums[level].n for side in (pair.a, pair.b)]
            for place, (metric, better) in enumerate(PAIRED.items()):
                where, row = self.paired.take((corpus.name, model, *own, *name, level, metric))
                if row is None:
                    continue
                ours = family is not None and level == "all" and metric == "js_divergence_bits"
                values = (better, FAMILY if ours else "exploratory", n, *failed, len(people))
                for key, value in zip(PAIRS_HEADER[8:14], values):
                    self.text(where, row, key, value)
                p = self.check_difference(where, row, pair, level, place, 1)
                if ours:
                    family.append((where, row, p))
                else:
                    self.text(where, row, "p_holm", "")
                    self.text(where, row, "detectable_family", "")

    def check_difference(self, where, row, pair, level, place, sign):
        """Value, interval, p and smallest detectable difference. Returns p."""
        people = list(pair.people[level].values())
        sums, sizes = [sign * one[1 + place] for one in people], [one[0] for one in people]
        interval = Interval.of_mean(sums, sizes, level=self.level)
        self.number(where, row, "g_eff", interval.effective)
        self.number(where, row, "difference", interval.value)
        alike = len(sums) > 1 and pair.alike(level, place)
        if alike and interval.reason != "effective clusters":
            interval.low = interval.high = interval.error = 0.0
            interval.reason, interval.still = "", False
        reason = self.bounds(where, row, "", interval, "low", "high")
        pair.reason = reason
        self.text(where, row, "method", "jackknife t")
        p, how = NAN, ""
        if alike:
            p, how = 1.0, "sign flip"
        elif 1 < len(sums) <= MOST_FLIPPED:
            p, how = sign_flip(sums), "sign flip"
        elif len(sums) > MOST_FLIPPED:
            p, how = interval.p(), "jackknife t"
        self.number(where, row, "p", p)
        self.text(where, row, "p_method", how)
        self.number(where, row, "detectable", NAN if reason else interval.detectable(1))
        pair.interval = interval
        if "detectable_family" in row:
            comparisons = len(IN_FAMILY) if row["family"] == FAMILY else 1
            few = "no p of" if too_few(len(sums), comparisons) else ""
            self.why(where, row, reason or few)
            if row["family"] == FAMILY:
                detectable = NAN if reason else interval.detectable(len(IN_FAMILY))
                self.number(where, row, "detectable_family", detectable)
        return p

    def check_family(self, rows, comparisons):
        """p after Holm. Returns the corrected values."""
        adjusted_ps = holm([p for _, _, p in rows], comparisons)
        for (where, row, _), p in zip(rows, adjusted_ps):
            self.number(where, row, "p_holm", p)
        return adjusted_ps

    def check_heard(self, corpus, model, pairs):
        """How much worse predictions are without the clip, for all controls of a model on a corpus.

        Returns, by control of greedy, the word that says whether the model heard.
        """
        if self.heard is None:
            raise Unreadable("tables/heard.csv: no such file, expected one: the plan has controls")
        rows: list = []
        for pair in pairs:
            own, under = pair.a, pair.b
            name = (corpus.name, model, own.column.strategy.name, under.column.control)
            where, row = self.heard.take(name)
            if row is None:
                continue
            total, width = len(corpus.ids), len(corpus.labels)
            both = bytes(map(int.__and__, own.mask("all"), under.mask("all")))
            n, same = sum(both), 0
            for place in compress(range(total), both):
                shares = own.column.row(place, width), under.column.row(place, width)
                same += max(abs(x - y) for x, y in zip(*shares)) <= SAME
            unchanged = same / n if n else NAN
            self.text(where, row, "n", n)
            self.text(where, row, "failed_clip", total - own.sums["all"].n)
            self.text(where, row, "failed_control", total - under.sums["all"].n)
            self.text(where, row, "speakers", len(pair.people["all"]))
            for key, side in (("js_bits_with_clip", own), ("js_bits_under_control", under)):
                self.number(where, row, key, average(list(compress(side.single[0], both))))
            self.number(where, row, "unchanged", unchanged)
            p = self.check_difference(where, row, pair, "all", 0, -1)
            still = unchanged == 1 and own.column.present == under.column.present
            rows.append((where, row, p, pair, pair.interval, pair.reason, still))
        corrected = self.check_family([one[:3] for one in rows], len(pairs))
        words: dict = {}
        for (where, row, _, pair, interval, reason, still), p in zip(rows, corrected):
            above = interval.value > 0 and p < 0.05 and (bool(reason) or interval.low > 0)
            word = "yes" if above else "no" if still else "not shown"
            self.text(where, row, "heard", word)
            if pair.a.column.strategy.name == "greedy":
                words[pair.b.column.control] = word
            few = too_few(len(pair.people["all"]), len(pairs))
            self.why(where, row, reason or ("no p of" if few else ""))
        return words

    def check_ambiguity(self, corpus, model, strategies, greedy, heard):
        """Does the gain over greedy, plain and tempered, grow with ambiguity? Every row of a unit.

        heard: by control of greedy, the word of heard.csv.
        """
        why = "no greedy answer" if greedy is None else ""
        if not why and corpus.acted:
            why = "acted label"
        elif not why and corpus.unit != 1:
            why = "several tags"
        elif not why and not heard:
            why = "no control of greedy"
        elif not why and set(heard.values()) != {"yes"}:
            why = "not shown to hear"
        against, sizes, levelled = [], {}, None
        if not why and strategies:
            why, sizes, against, levelled = self._against(corpus, greedy)
        for own in strategies:
            where, row = self.ambiguity.take((corpus.name, model, own.column.strategy.name))
            if row is not None:
                self._contrasts(where, row, own, against, sizes, levelled, why)

    def _against(self, corpus, greedy):
        """(why nothing is tested, clips by speaker, errors of the references, shares of levels)."""
        enough = [sum(truth.raters) >= LEAST_RATERS for truth in corpus.truths]
        if sum(enough) < LEAST_SHARE * len(enough):
            return "or more raters", {}, [], None
        sizes: dict = {}
        for person in compress(corpus.speakers, enough):
            sizes[person] = sizes.get(person, 0) + 1
        if len(sizes) < 2:
            return "one cluster", {}, [], None
        weight = corpus.splits.weight
        levelled = sum(enough), [one / math.fsum(weight) for one in weight]
        for level in (0, 2):
            if not weight[level]:
                return "no clip is ever", sizes, [], levelled
        flat = tempered(
            [
                (person, truth.shares, tuple(shares))
                for person, truth, shares in zip(
                    corpus.speakers, corpus.truths, self._answers(greedy)
                )
            ],
            corpus.names,
        )
        errors = [self._errors(corpus, self._answers(greedy)), self._errors(corpus, flat)]
        for own in errors:
            if not far_above_0([row[3] for row in own.values()], list(sizes.values())):
                return "standard errors above 0", sizes, [], levelled
        return "", sizes, errors, levelled

    def _contrasts(self, where, row, own, against, sizes, levelled, why):
        """One row of ambiguity.csv."""
        n, shares = levelled or (0, [NAN] * 3)
        people = list(sizes) if against else []
        for key, value in (("n", n), ("speakers", len(people))):
            self.text(where, row, key, value)
        for level, share in zip(LEVELS, shares):
            self.number(where, row, f"share_{level}", share)
        intervals = {}
        ours = self._errors(own.corpus, self._answers(own)) if against else {}
        for of, theirs in zip(("greedy", "tempered"), against):
            rows = [
                [*map(sub, theirs[person][3:], ours[person][3:]), *theirs[person][3:],
                 *theirs[person][:3]]
                for person in people
            ]  # fmt: skip
            total = [math.fsum(column) for column in zip(*rows)]
            without = [list(map(sub, total, one)) for one in rows]
            counts = list(sizes.values())
            for name, value in CONTRAST_OF.items():
                intervals[f"{name}_against_{of}"] = Interval(
                    value(total), list(map(value, without)), counts, DECIDING
                )
        for of in ("greedy", "tempered"):
            for name in CONTRASTS:
                key = f"{name}_against_{of}"
                interval = intervals.get(key, UNKNOWN)
                self.number(where, row, key, interval.value)
                self.bounds(where, row, key, interval)
                self.jackknife_p(where, row, f"{key}_p", interval)
        first = intervals.get("overall_gain_against_greedy", UNKNOWN)
        self.number(where, row, "g_eff", first.effective)
        self._ambiguity_verdict(where, row, intervals, why)

    def _ambiguity_verdict(self, where, row, intervals, why):
        reasons = [one.reason for one in intervals.values() if one.reason]
        fatal = [one for one in reasons if one != STILL]
        shares = [
            intervals.get(f"share_removed_against_{of}", UNKNOWN) for of in ("greedy", "tempered")
        ]
        if why or fatal:
            verdict, why = "NOT TESTED", why or fatal[0]
        elif any(one.still for one in intervals.values()) and "alike everywhere" in row["reason"]:
            verdict, why = "NOT SHOWN", "alike everywhere"
        elif all(one.low > 0 for one in intervals.values()):
            verdict, why = "HOLDS", "above 0"
        elif all(one.high < 0 for one in shares):
            verdict, why = "NOT REPRODUCED", "smaller at 'high'"
        else:
            verdict, why = "NOT SHOWN", "not shown to be above 0"
        self.text(where, row, "verdict", verdict)
        self.why(where, row, why)

    @staticmethod
    def _answers(measured):
        """The predictions of a column; a failed one is uniform."""
        corpus, width = measured.corpus, len(measured.corpus.labels)
        present = measured.column.present
        for place in range(len(corpus.ids)):
            yield measured.column.row(place, width) if present[place] else [1 / width] * width

    @staticmethod
    def _errors(corpus, answers):
        """By speaker: by level the share of the splits, then B."""
        splits = corpus.splits
        sums: dict = {}
        for person, truth, shares in zip(corpus.speakers, corpus.truths, answers):
            if truth.raters in splits.parts:
                row = sums.setdefault(person, [0.0] * 6)
                parts = splits.parts[truth.raters]
                for level, error in enumerate(splits.error(truth.raters, shares)):
                    row[level] += parts[level][0]
                    row[3 + level] += error
        return sums

    def check_verifier(self, unit):
        """How well the verifier tells the candidates of a model apart."""
        judge = self.study.judges[unit.model]
        others = [name for name, own in self.study.judges.items() if own == judge]
        for stream in unit.streams.values():
            if not stream.question.judged:
                continue
            if self.verifier is None:
                raise Unreadable("tables/verifier.csv: no such file, expected one: one judges")
            name = (unit.corpus.name, unit.model, judge, stream.question.name)
            selfish = [(*name, f"self_preference_{of}", "") for of in ("score", "js")]
            if stream.quality.unread:
                self.counted.unjudged += 1
            quantities = stream.quality.quantities(self.level)
            for (quantity, number), (interval, n) in quantities.items():
                where, row = self.verifier.take((*name, quantity, number))
                if row is not None and not stream.quality.unread:
                    self.quantity(where, row, interval, n)
            for key in selfish:
                if others != [unit.model]:
                    self.counted.selfish += self.verifier.drop(key)
                    continue
                where, row = self.verifier.take(key)
                if row is not None:
                    self.quantity(where, row, UNKNOWN, 0)

    # -- claims --

    def collect(self, unit):
        """Keep the parts of a unit that claims read."""
        corpus, model, evidence = unit.corpus, unit.model, self.evidence
        width = len(corpus.labels)

        def answers(column):
            for place in range(len(corpus.ids)):
                yield column.row(place, width) if column.present[place] else None

        for column in unit.columns:
            name, control = column.strategy.name, column.control
            key = (corpus.name, model, name, "" if control == "none" else control)
            if key in evidence.wanted:
                evidence.take(corpus, key, answers(column))
                if key[2:] == ("greedy", ""):
                    evidence.temper(corpus, key, answers(column))
            if control == "none" and column.pool:
                key = (corpus.name, model, name, "pool")
                evidence.take(corpus, key, column.pool, unknown=column.pool_unread > 0)
                column.pool = []

    def check_claims(self):
        """Every claim of config/claims.yaml, decided again."""
        decided = decide(self.evidence)
        families = {one.claim.family for one in decided if one.given}
        for at, one in enumerate(decided):
            where, row = self.claims.take([one.claim.id])
            if row is not None:
                self._claim(where, row, one, one.claim.family in families)
                if one.given:
                    self.counted.unclaimed += 1
                elif one.outcome is not None and one.claim.family not in families:
                    self._flips(where, row, Flips(decided, at, self.evidence))

    def _claim(self, where, row, one, guess):
        """One row of claims.csv; guess: p of the family depends on what this file cannot read."""
        claim, outcome = one.claim, one.outcome
        words = {"holds": HOLDS, "within_tolerance": WITHIN, "not_reproduced": NOT_REPRODUCED}
        rule = "; ".join(
            f"{words[key]}: {claim.words[key]}" for key in words if claim.words.get(key)
        )
        fields = {name: getattr(claim, name) for name in ("about", "sentence", "grade", "family")}
        fields.update(estimator=claim.estimator, rule=rule, cells_missing=one.missing)
        for key, value in fields.items():
            self.text(where, row, key, value)
        self.number(where, row, "published", NAN if claim.published is None else claim.published)
        self.number(where, row, "tolerance", claim.tolerance)
        if one.given:
            return
        tested = len(claim.places) - one.missing if outcome else 0
        self.text(where, row, "cells_tested", tested)
        main = outcome.main if outcome else Estimate(NAN)
        if not one.why or outcome:
            self.text(where, row, "failed_as_uniform", one.failed)
        numbers = (("estimate", main.value), ("low", main.low), ("high", main.high))
        for key, value in (
            *numbers,
            ("p", outcome.p if outcome else NAN),
            ("g_eff", main.effective),
        ):
            self.number(where, row, key, value)
        for key, value in (("n", main.n), ("clusters", main.people)):
            self.text(where, row, key, value)
        if guess and outcome:
            return
        self.number(where, row, "p_holm", one.p)
        verdict, why = NOT_TESTED, one.why
        if outcome:
            verdict, why = RULES[claim.rule](claim, outcome, one.p)
        self.text(where, row, "verdict", verdict)
        self.why(where, row, why)
        if outcome and outcome.note not in row["reason"]:
            self.why(where, row, outcome.note)

    def _flips(self, where, row, flips):
        """Check that `flips` changed answers change the verdict, and one fewer does not."""
        moves, kind = flips.decided[flips.at].outcome.moves, row["flips_kind"]
        answers = max(
            (sum(len(self.study.corpora[key[0]].ids) for key in one) for one in moves), default=0
        )
        if answers > MOST_ANSWERS:
            self.counted.unflipped += 1
            return
        self.counted.numbers += 1
        if kind == "never":
            self.text(where, row, "flips", "")
            suffices = not any(flips.changes(None))
        elif WHOLE.fullmatch(row["flips"]) and int(row["flips"]) > 0:
            count = int(row["flips"])
            self.text(where, row, "flips_kind", "exact" if count == 1 else "bound")
            enough = flips.changes(count)
            fewer = flips.changes(count - 1) if count > 1 else [False] * len(enough)
            suffices = any(now and not before for now, before in zip(enough, fewer))
        else:
            suffices = False
        if not suffices:
            text = shown(f"{row['flips']} {kind}".strip() or "nothing", 60)
            expected = (
                "a number of changed answers that suffices for another verdict, and one fewer not"
            )
            self.findings.note(f"{where}, column flips: found {text}, expected {expected}")

    # -- curves --

    def check_curves(self, unit):
        """What more samples give and cost, and which rows no other row beats."""
        prices = [
            self.study.models.get(name, {}).get("price")
            for name in (unit.model, self.study.judges[unit.model])
        ]
        points = []
        for stream in unit.streams.values():
            if stream.curves is None:
                continue
            if stream.curves.unread:
                self.counted.uncurved += 1
            answer = stream.answers.spent(prices[0])
            judged = stream.scores.spent(prices[1]) if stream.scores else (NAN, NAN)
            for method, numbers, draws in stream.curves.methods():
                paid = answer if draws == 1 else tuple(map(add, answer, judged))
                for k in numbers:
                    name = (unit.corpus.name, unit.model, stream.question.name, method, str(k))
                    where, row = self.curves.take(name)
                    if row is None:
                        continue
                    budget = [NAN] * 3 if k == LIMIT else [draws * k, paid[0] * k, paid[1] * k]
                    self._curve(where, row, stream.curves, method, k, budget)
                    points.append((where, row, row["tokens"], row["js_divergence_bits"]))
        numbers = [tuple(map(decimal, point[2:])) for point in points]
        known = [
            one for one in numbers if None not in one and one[0] == one[0] and one[1] == one[1]
        ]
        for (where, row, *_), (tokens, js) in zip(points, numbers):
            beaten = any(a <= tokens and b <= js and (a, b) != (tokens, js) for a, b in known)
            word = "no" if beaten else "yes"
            self.text(where, row, "pareto", word if (tokens, js) in known else "")

    def _curve(self, where, row, curves, method, k, budget):
        """One row of curves.csv."""
        columns = ("draws", "tokens", "dollars_per_1000_clips")
        for key, value in zip(columns, (budget[0], budget[1], 1000 * budget[2])):
            self.number(where, row, key, value)
        pool = None if method == POOL else curves.pool_of(budget[0])
        self.text(where, row, "same_draws_k", "" if pool is None else pool)
        if curves.unread:
            for key in CURVED:
                self.order(where, row, f"{key}_low", f"{key}_high")
            return
        sizes, js, brier, apart = turned(list(curves.rows.get((method, k), {}).values()), 4)
        n = sum(sizes)
        self.text(where, row, "n", n)
        self.text(where, row, "speakers", len(sizes))
        intervals = {
            key: Interval.of_mean(sums, sizes, level=self.level)
            for key, sums in zip(CURVED, (js, brier, apart))
        }
        self.number(where, row, "g_eff", intervals["brier"].effective)
        if not n:
            why = "no clip has two" if k == LIMIT else "no utterance has"
            intervals["js_divergence_bits"].reason = intervals["brier"].reason = why
        if method in (POOL, "greedy"):
            why = "is what is compared" if method == POOL else "no samples"
            intervals["same_draws"] = Interval(NAN, [], [], DECIDING)
            intervals["same_draws"].reason = "no budget" if k == LIMIT else why
        elif (
            intervals["same_draws"].reason == STILL and curves.apart.get((method, k), 0.0) <= 1e-12
        ):
            both = intervals["same_draws"]
            both.low = both.high = both.error = 0.0
            both.still = True
        reasons = {}
        for key, interval in intervals.items():
            self.number(where, row, key, interval.value)
            reasons[key] = self.bounds(where, row, key, interval)
        self.whys(where, row, {key: one for key, one in reasons.items() if one}, CURVED)

    def check_draws(self, unit):
        tallies = {}
        for stream in unit.streams.values():
            one = stream.question
            decoding = one.kind if one.kind == "greedy" else f"{one.kind}({one.count})"
            tallies[("answer", one.prompt, decoding, one.audio)] = stream.answers.tally
            if stream.scores:
                name = (f"score by {self.study.judges[one.model]}", one.judge, "greedy", one.audio)
                tallies.setdefault(name, Tally()).add(stream.scores.tally)
        for name, tally in tallies.items():
            where, row = self.draws.take((unit.corpus.name, unit.model, *name))
            if row is not None:
                for key, value in zip(DRAWS[6:], tally.fields()):
                    self.text(where, row, key, value)

    # -- one corpus --

    def check_levels(self, corpus):
        for level, inside in corpus.inside.items():
            where, row = self.levels.take((corpus.name, level))
            if row is None:
                continue
            truths = list(compress(corpus.truths, inside))
            votes = sum(truth.votes for truth in truths)
            self.text(where, row, "rule", self.study.plan["ambiguity"]["rule"])
            self.text(where, row, "n", len(truths))
            whole = votes % corpus.unit == 0
            votes = votes // corpus.unit if whole else f"{votes / corpus.unit:.6f}"
            self.text(where, row, "votes", votes)
            self.number(where, row, "entropy_bits", average([one.bits for one in truths]))
            corrected = average([one.miller_madow for one in truths])
            self.number(where, row, "entropy_bits_miller_madow", corrected)

    def check_baselines(self, corpus):
        """Check the baselines: predictions from the votes, without the clip."""
        path = f"predictions/baselines/{corpus.name}.jsonl.gz"
        rows = PredictionRows(self.study.folder, path, self.findings)
        constant = self._constant(corpus)
        columns: list = []
        for name in self.study.plan["baselines"]:
            known = name in constant or name == "prior_without_speaker"
            if not known or any(name == column.strategy.name for column in columns):
                expected = f"{', '.join(constant)}, prior_without_speaker, each once"
                raise fault(f"{PLAN}: baselines", name, expected)
            columns.append(Column(Named(name), "none", corpus))
        priors = priors_without(corpus)
        others = [Constant(shares) for shares in priors]
        corpus.against = array("d")  # what the skill of a prediction is compared with
        for truth, person in zip(corpus.truths, corpus.speakers):
            known = corpus.rated and priors[0] is not None and truth.votes > 1
            corpus.against.append(brier_unbiased(truth, priors[person]) if known else NAN)
        for place, (utterance, level) in enumerate(zip(corpus.ids, corpus.levels)):
            spelled = canonical(utterance)
            for column in columns:
                name = column.strategy.name
                ours = constant.get(name) or others[corpus.speakers[place]]
                head = prediction_head(spelled, name, "none", '""')
                tail = rows.take(head, (utterance, name))
                shares = ours.shares
                if tail != ours.tail:
                    read = rows.read(head, tail, len(corpus.labels))
                    rows.compare(read, ours, corpus.labels)
                    shares = read[0]
                column.add(shares, level, 0, 0, 0)
                self.counted.baselines += 1
                self.counted.failed += shares is None
        rows.finish()
        self.baselines[corpus.name] = {}
        for column in columns:
            measured = Measured(corpus, column)
            name = (corpus.name, "baselines", column.strategy.name)
            self.check_floors(name, measured)
            self.check_results((*name, "none"), measured, corpus)
            self.baselines[corpus.name][column.strategy.name] = measured
        own = Column(Named("prior_without_speaker"), "none", corpus)
        for person, level in zip(corpus.speakers, corpus.levels):
            own.add(priors[person], level, 0, 0, 0)
        measured = Measured(corpus, own)
        name = (corpus.name, "baselines", "prior_without_speaker")
        people = list(measured.people["all"].values())
        js = Interval.of_mean(
            [one[1] for one in people], [one[0] for one in people], level=self.level
        )
        planned = "prior_without_speaker" in self.baselines[corpus.name]
        if not planned or ",".join((*name, "js_divergence_bits", "")) in self.floors.rows:
            n = sum([one[0] for one in people])
            self.check_floor((*name, "js_divergence_bits", ""), js, n)
        if "prior_without_speaker" not in self.baselines[corpus.name]:
            self.check_floors(name, measured)
        self.drop_true(corpus)
        self.check_raters(corpus)

    def _constant(self, corpus):
        """The baselines that predict the same for every utterance."""
        columns = zip(*(truth.shares for truth in corpus.truths))
        mean = [math.fsum(column) / len(corpus.ids) for column in columns]
        baselines = {"uniform": [1 / len(mean)] * len(mean), "prior": mean}
        baselines["prior_one_hot"] = top_of(mean)
        return {name: Constant(shares) for name, shares in baselines.items()}

    def finish(self):
        for table in (
            self.results,
            self.paired,
            self.draws,
            self.levels,
            self.heard,
            self.floors,
            self.ambiguity,
            self.curves,
            self.gains,
            self.claims,
            self.verifier,
        ):
            if table is not None:
                table.finish()


class Named:
    """A baseline's name, where a column has a strategy's."""

    def __init__(self, name):
        self.name = name


class Constant:
    """A baseline's prediction; None where there is no other speaker to take it from."""

    def __init__(self, shares):
        self.shares = None if shares is None else [float(f"{share:.9g}") for share in shares]
        self.counts, self.failure, self.bits = (0, 0, 0), "", None
        self.mixes = False
        if shares is None:
            self.failure = ONE_SPEAKER
        self.tail = prediction_tail(self.shares, self.counts, self.failure, None)


ONE_SPEAKER = "one speaker: there is no other to take the prior from"


def priors_without(corpus):
    """By speaker: the mean truth of the other speakers' utterances, None if there is none."""
    width, people = len(corpus.labels), max(corpus.speakers) + 1
    if people < 2:
        return [None]
    shares = [[array("d") for _ in range(width)] for _ in range(people)]
    counts = [0] * people
    for person, truth in zip(corpus.speakers, corpus.truths):
        counts[person] += 1
        for own, share in zip(shares[person], truth.shares):
            own.append(share)
    sums = [[math.fsum(own) for own in person] for person in shares]
    totals = [math.fsum(column) for column in zip(*sums)]
    alone = [sum(one > 0 for one in column) for column in zip(*sums)]
    priors = []
    for person in range(people):
        n = len(corpus.ids) - counts[person]
        # Where only this speaker has a label, the others' share of it is 0 and not a rounding.
        priors.append(
            [
                0.0 if own > 0 and with_it == 1 else (total - own) / n
                for own, total, with_it in zip(sums[person], totals, alone)
            ]
        )
    return priors


UNKNOWN = Interval(NAN, [], [], DECIDING)


def far_above_0(sums, sizes):
    """Whether the sum of speakers' sums is at least 3 standard errors above 0."""
    total = math.fsum(sums)
    own = Interval(total, [total - one for one in sums], sizes, DECIDING)
    return not own.reason and total > 0 and total >= 3 * own.error


def share_contrast(sums):
    """Share removed, high minus low; sums: gains by level, errors by level, weights by level."""
    low, high = (sums[at] / sums[3 + at] if sums[3 + at] > 0 else NAN for at in (0, 2))
    return high - low


def gain_contrast(sums):
    """Gain, high minus low."""
    low, high = (sums[at] / sums[6 + at] if sums[6 + at] else NAN for at in (0, 2))
    return high - low


def overall_gain(sums):
    """Mean gain over all levels."""
    clips = sum(sums[6:9])
    return sum(sums[:3]) / clips if clips else NAN


CONTRAST_OF = {
    "share_removed": share_contrast,
    "gain": gain_contrast,
    "overall_gain": overall_gain,
}


class Measured:
    """The metrics of one column, by level and speaker; per utterance those that pairs need."""

    def __init__(self, corpus, column):
        self.corpus, self.column = corpus, column
        self.whole = all(column.present)
        width = len(corpus.labels)
        levels = [level for level in corpus.inside if level != "all"]
        self.groups: dict = {level: {} for level in levels}
        # level -> speaker -> [JS with failures as uniform, utterances]
        self.filled: dict = {level: {} for level in corpus.inside}
        self.single = [array("d") for _ in PAIRED]  # js, bc, brier, accuracy
        self.floors: dict = {}
        for place, (truth, level, person) in enumerate(
            zip(corpus.truths, corpus.levels, corpus.speakers)
        ):
            values, js = (NAN,) * len(PAIRED), truth.as_uniform
            if column.present[place]:
                own = self.groups[level].get(person)
                if own is None:
                    own = self.groups[level][person] = Sums(width)
                shares = column.row(place, width)
                values = own.one(truth, shares)
                js = values[0]
                if column.control == "none":
                    self._floor(person, truth, shares, values, place)
            for single, value in zip(self.single, values):
                single.append(value)
            filled = self.filled[level].setdefault(person, [0.0, 0])
            filled[0] += js
            filled[1] += 1
        for level in levels:
            for person, (js, n) in self.filled[level].items():
                filled = self.filled["all"].setdefault(person, [0.0, 0])
                filled[0] += js
                filled[1] += n
        self.people = {level: self._people(level) for level in corpus.inside}
        self.sums = {level: Sums(width) for level in corpus.inside}
        for level in levels:
            for sums in self.groups[level].values():
                self.sums[level].add(sums)
            self.sums["all"].add(self.sums[level])

    def _floor(self, person, truth, shares, values, place):
        """Add one utterance to the sums that floors.csv is made of."""
        own = self.floors.get(person)
        if own is None:
            own = self.floors[person] = [0.0] * 7
        own[0] += truth.untied
        own[1] += values[3] if truth.untied else 0.0
        own[2] += (
            values[3]
            if truth.untied
            else sum([part for part, win in zip(top_of(shares), truth.top) if win])
        )
        if self.corpus.rated and truth.votes > 1:
            own[3] += 1
            own[4] += brier_unbiased(truth, shares)
            own[5] += js_vote_jackknife(truth, shares, values[0])
            own[6] += self.corpus.against[place]

    def by_person(self, level):
        """Sums of each speaker."""
        if level != "all":
            return self.groups[level]
        totals: dict = {}
        for groups in self.groups.values():
            for person, sums in groups.items():
                if person not in totals:
                    totals[person] = Sums(len(self.corpus.labels))
                totals[person].add(sums)
        return totals

    def _people(self, level):
        """By speaker: number of utterances, sums of JS, Bhattacharyya, Brier, accuracy."""
        return {
            person: (sums.n, sums.js, sums.bc, sums.brier, sums.hit)
            for person, sums in self.by_person(level).items()
        }

    def mask(self, level):
        """Which utterances of a level have a prediction."""
        inside = self.corpus.inside[level]
        return inside if self.whole else bytes(map(int.__and__, inside, self.column.present))


class Pair:
    """Differences a − b, summed by level and speaker, where both have a prediction."""

    def __init__(self, a, b):
        self.a, self.b, self.interval, self.reason = a, b, UNKNOWN, ""
        corpus = a.corpus
        self.people: dict = {}
        for level in corpus.inside:
            if level != "all":
                self.people[level] = own = {}
                for person, (n, *sums) in a.people[level].items():
                    own[person] = [n, *sums]
                for person, (_, *sums) in b.people[level].items():
                    row = own.setdefault(person, [0, *([0.0] * len(PAIRED))])
                    for place, value in enumerate(sums, 1):
                        row[place] -= value
        if a.column.present != b.column.present:
            self._leave_out(corpus)
        everywhere: dict = {}
        for level, own in self.people.items():
            self.people[level] = own = {person: row for person, row in own.items() if row[0]}
            for person, row in own.items():
                known = everywhere.get(person)
                everywhere[person] = list(map(add, known, row)) if known else row
        self.people["all"] = everywhere

    def _leave_out(self, corpus):
        """Subtract the utterances where only one side has a prediction."""
        differ = bytes(map(int.__xor__, self.a.column.present, self.b.column.present))
        for at in compress(range(len(differ)), differ):
            row = self.people[corpus.levels[at]][corpus.speakers[at]]
            side, sign = (self.a, -1) if self.a.column.present[at] else (self.b, 1)
            row[0] -= side is self.a
            for place, single in enumerate(side.single, 1):
                row[place] += sign * single[at]

    def alike(self, level, place):
        """Whether a and b are the same on every utterance."""
        rows = self.people[level].values()
        if not rows or any(abs(row[1 + place]) > 1e-12 * row[0] for row in rows):
            return False
        both = zip(self.a.single[place], self.b.single[place])
        return all(
            x != x or y != y or x == y for x, y in compress(both, self.a.corpus.inside[level])
        )


# --- claims ---------------------------------------------------------------------------------------

CLAIM_KEYS = {
    "id": TEXT, "about": TEXT, "sentence": TEXT, "grade": TEXT, "source": TEXT, "cells": LIST,
    "estimator": TEXT, "rule": TEXT, "family": TEXT, "tolerance": NUMBER, "tolerance_reason": TEXT,
}  # fmt: skip
CLAIM_DEFAULTS = {
    "reference": "greedy", "metric": "js", "direction": "above", "published": None,
    "gate": "heard", "untested": "",
}  # fmt: skip
CLAIMS_HEADER = (
    "id about sentence grade verdict estimate low high p p_holm family n clusters g_eff published "
    "tolerance flips flips_kind estimator rule reason cells_tested cells_missing failed_as_uniform"
).split()
CONTROL = "shuffled_audio"
HOLDS, WITHIN, NOT_REPRODUCED = "HOLDS", "WITHIN TOLERANCE", "NOT REPRODUCED"
NOT_SHOWN, NOT_TESTED = "NOT SHOWN", "NOT TESTED"
MOST_ANSWERS = 1_000_000  # of a claim whose `flips` are tried
METRICS_OF_CLAIMS = ("js", "brier", "accuracy", "bhattacharyya", "unbiased", "levels")


class Claim:
    """One entry of config/claims.yaml."""

    id: Any
    direction: Any
    estimator: Any
    metric: Any
    reference: Any
    rule: Any

    def __init__(self, entry, book):
        where = (
            f"{CLAIMS}: claim {shown(entry.get('id') if isinstance(entry, dict) else entry, 60)}"
        )
        need(where, entry, **CLAIM_KEYS)
        fields = {**CLAIM_DEFAULTS, **entry}
        strange = sorted(set(entry) - set(CLAIM_KEYS) - set(CLAIM_DEFAULTS))
        published = fields["published"]
        known = (
            ("key", strange[0] if strange else "", [""]),
            ("about", fields["about"], ("paper", "embedded")),
            ("reference", fields["reference"], ("greedy", "pool", "none")),
            ("metric", fields["metric"], METRICS_OF_CLAIMS),
            ("direction", fields["direction"], ("above", "below")),
            ("gate", fields["gate"], ("heard",)),
            ("estimator", fields["estimator"], ESTIMATORS),
            ("rule", fields["rule"], [name for name in RULES if name in book.rules]),
            ("family", fields["family"], book.families),
            ("published", type(published), (NONE, int, float)),
            ("untested", type(fields["untested"]), (str,)),
        )
        for key, value, expected in known:
            if value not in expected:
                raise fault(
                    f"{where}: key {key}", value, f"one of {shown(', '.join(map(str, expected)))}"
                )
        for name in (*CLAIM_KEYS, *CLAIM_DEFAULTS):
            if name != "cells":
                setattr(self, name, fields[name])
        self.sign = 1 if self.direction == "above" else -1
        self.words = book.rules[self.rule]
        places: dict = {}
        for part in fields["cells"]:
            need(f"{where}: cells", part, models=LIST, corpora=LIST, strategies=LIST)
            if set(part) - {"models", "corpora", "strategies", "group"}:
                raise fault(f"{where}: cells", part, "models, corpora, strategies, group")
            named = [
                [one for name in part[key] for one in book.lists.get(name, [name])]
                for key in ("corpora", "models", "strategies")
            ]
            for corpus in named[0]:
                for model in named[1]:
                    for strategy in named[2]:
                        places[corpus, model, strategy, part.get("group", "")] = None
        self.places = list(places)

    def own(self, place):
        """The column of a cell."""
        return (*place[:3], "")

    def against(self, place):
        """The column that a cell's strategy is compared with."""
        if self.reference == "pool":
            return (*place[:3], "pool")
        return (*place[:2], "greedy", "")

    def needed(self, place):
        return [self.own(place), *([] if self.reference == "none" else [self.against(place)])]

    @property
    def losses(self):
        """The losses that the estimate, its guard and the order of flips need."""
        extra = {"brier"} if self.estimator == "mean_gain" else set()
        order = self.metric if self.metric in ("accuracy", "bhattacharyya") else "js"
        return {self.metric, order, *extra}


class Book:
    """config/claims.yaml."""

    def __init__(self, text):
        document = ClaimsReader(text).read()
        need(CLAIMS, document, version=COUNT, lists=MAP, variants=MAP, rules=MAP, families=MAP)
        need(CLAIMS, document, claims=LIST)
        if len(document) > 6:
            raise fault(
                CLAIMS, ", ".join(document), "version, lists, variants, rules, families, claims"
            )
        self.lists, self.variants = document["lists"], document["variants"]
        self.rules, self.families = document["rules"], document["families"]
        for name, words in self.rules.items():
            need(f"{CLAIMS}: rule {shown(name, 40)}", words, not_reproduced=TEXT)
        self.claims = [Claim(entry, self) for entry in document["claims"]]
        names = [claim.id for claim in self.claims]
        if len(set(names)) < len(names):
            raise fault(f"{CLAIMS}: claims", names, "each id once")
        every = [(claim, place) for claim in self.claims for place in claim.places]
        self.strategies = {place[2] for _, place in every}
        self.pooled = {place[2] for claim, place in every if claim.reference == "pool"}


class Untestable(Exception):
    """The data cannot answer; the message is what the reason of NOT TESTED says."""


class Estimate:
    """A value with its interval and p; `reason` says why there is no interval."""

    def __init__(self, value, error=NAN, low=NAN, high=NAN, p=NAN, people=0, effective=NAN, n=0):
        self.value, self.error, self.low, self.high, self.p = value, error, low, high, p
        self.people, self.effective, self.n, self.reason = people, effective, n, ""

    @classmethod
    def of(cls, interval, n, nothing=False):
        """From an interval; `nothing`: it is 0 everywhere, so its bounds are 0 and p is 1."""
        estimate = cls(interval.value, people=interval.people, effective=interval.effective, n=n)
        estimate.reason = interval.reason
        if estimate.reason == STILL and nothing:
            estimate.error = estimate.low = estimate.high = 0.0
            estimate.p, estimate.reason = 1.0, ""
        elif not estimate.reason:
            estimate.error, estimate.low, estimate.high = (
                interval.error,
                interval.low,
                interval.high,
            )
            estimate.p = interval.p()
        return estimate


def combined(estimates):
    """The mean of estimates from different corpora."""
    for one in estimates:
        if one.reason:
            raise Untestable(one.reason)
    if len(estimates) == 1:
        return estimates[0]
    many = len(estimates)
    value = math.fsum([one.value for one in estimates]) / many
    variances = [one.error * one.error for one in estimates]
    error = math.sqrt(math.fsum(variances)) / many
    people, n = sum([one.people for one in estimates]), sum([one.n for one in estimates])
    if error == 0:
        return Estimate(value, 0.0, value, value, float(value == 0), people, NAN, n)
    freedom = math.fsum(variances) ** 2 / math.fsum(
        [v * v / (one.effective - 1) for v, one in zip(variances, estimates)]
    )
    return with_freedom(value, error, freedom, people, n)


def with_freedom(value, error, freedom, people, n):
    half = student_edge(0.05, freedom) * error
    p = student(abs(value) / error, freedom)
    return Estimate(value, error, value - half, value + half, p, people, freedom + 1, n)


def directed(p, value, sign):
    """p, or 1 if the value has the other sign."""
    return p if p != p or value * sign > 0 else 1.0


def plus(first, *more):
    """The weighted sum of lists, each given as (weight, values), value by value."""
    weight, values = first
    sums = [weight * one for one in values]
    for weight, values in more:
        sums = [one + weight * other for one, other in zip(sums, values)]
    return sums


class Evidence:
    """What claims are decided from: losses of every answer that they read, by column."""

    def __init__(self, study, book):
        self.study, self.book = study, book
        self.losses: dict = {}  # (column, loss) -> a number per utterance
        self.failed: dict = {}  # column -> predictions that failed
        self.unknown: set = set()  # columns with an answer that this file does not read
        self.changed: dict = {}  # (column, loss) -> by speaker, what changed answers add
        self._sums: dict = {}
        self._sizes: dict = {}
        self.there = {
            (corpus, model, strategy.name, role)
            for model, corpus, strategy, control in study.cells
            if control == "none"
            for role in ("", "pool")
            if strategy.name in (book.pooled if role else book.strategies)
        }
        embedded = EMBEDDED in study.corpora
        self.listed = [one for one in book.claims if one.about == "paper" or embedded]
        self.refused = {claim.id: self._refused(claim) for claim in self.listed}
        self.wanted: dict = {}
        for claim in self.listed:
            if not self.refused[claim.id]:
                for place in claim.places:
                    for key in claim.needed(place):
                        self.wanted.setdefault(key, set()).update(claim.losses)
        if self.wanted:  # whether each model was shown to hear
            for key in sorted(self.there):
                if key[2:] == ("greedy", ""):
                    self.wanted.setdefault(key, set()).add("js")
                    self.wanted[(*key[:3], CONTROL)] = {"js"}

    def missing(self, claim):
        """The cells of a claim that the run does not have."""
        return [
            place
            for place in claim.places
            if any(key not in self.there for key in claim.needed(place))
        ]

    def _refused(self, claim):
        """Why the run may not decide the claim, before anything is known of its answers."""
        plan, run = self.study.plan, self.study.run
        partial = [f"limited to {run['limit']} utterances"] if run["limit"] is not None else []
        partial += [
            f"the plan takes {one['limit']} utterances of {one['id']}"
            for one in plan["corpora"]
            if one["limit"]
        ]
        names = dict.fromkeys(item["id"] for item in run["missing"])
        partial += [f"missing: {', '.join(names)}"] if names else []
        if claim.about == "paper" and set(self.study.corpora) == {EMBEDDED}:
            return "this run has the embedded corpus only"
        if partial:
            return partial[0]
        if claim.untested:
            return claim.untested
        models = {place[1] for place in claim.places}
        invented = [one["id"] for one in plan["models"] if one["engine"] == "null"]
        if models.intersection(invented):
            return "the engine null did"
        other = {place[2] for place in claim.places} & self._renamed()
        if other:
            return f"{', '.join(sorted(other))}: the plan has another strategy under this name"
        missing = self.missing(claim)
        return f"{len(missing)} of {len(claim.places)} cells are missing" if missing else ""

    def _renamed(self):
        """Strategies that are not what config/claims.yaml says under that name."""
        names = set()
        for name, (base, kind, count) in self.book.variants.items():
            own, row = self.study.strategies.get(name), STRATEGIES.get(base)
            if row is None:
                raise fault(f"{CLAIMS}: variants: {shown(name, 40)}", base, "a strategy")
            if own is not None:
                meant = (row[0], kind, count, row[3], row[4])
                is_so = (own.prompt, own.decoding, own.count, own.scorer, own.aggregator)
                if is_so != meant or own.own != (None, None, None):
                    names.add(name)
        return names

    # -- collecting --

    def take(self, corpus, key, answers, unknown=False):
        """Keep the losses of a column; answers: shares, or None where there are none."""
        names = sorted(self.wanted.get(key, ()))
        if not names:
            return
        if unknown:
            self.unknown.add(key)
        width, failed = len(corpus.labels), 0
        uniform = [1 / width] * width
        losses: dict = {name: array("d") for name in names if name != "levels"}
        if "levels" in names:
            losses.update({f"levels {level}": array("d") for level in range(3)})
        for truth, shares in zip(corpus.truths, answers):
            failed += shares is None
            shares = uniform if shares is None else shares
            for name in names:
                if name == "levels":
                    for level, value in enumerate(self.levels(corpus, truth, shares)):
                        losses[f"levels {level}"].append(value)
                else:
                    losses[name].append(LOSS_OF[name](truth, shares))
        self.failed[key] = failed
        for name, values in losses.items():
            self.losses[key, name] = values

    def temper(self, corpus, key, answers):
        """Keep the errors of the tempered reference on the clips whose raters can be split."""
        if "levels" not in self.wanted.get(key, ()) or not self.enough(corpus):
            return
        width = len(corpus.labels)
        rows = [
            (person, truth_of(truth.raters), tuple(shares or [1 / width] * width))
            for person, truth, shares in zip(corpus.speakers, corpus.truths, answers)
            if truth.raters in corpus.splits.parts
        ]
        if len({person for person, _, _ in rows}) < 2:
            return
        flat = iter(tempered(rows, corpus.names))
        by_level = [array("d") for _ in range(3)]
        for truth in corpus.truths:
            there = truth.raters in corpus.splits.parts
            errors = corpus.splits.error(truth.raters, next(flat)) if there else [0.0] * 3
            for own, value in zip(by_level, errors):
                own.append(value)
        for level, own in enumerate(by_level):
            self.losses[(*key[:3], "tempered"), f"levels {level}"] = own

    @staticmethod
    def enough(corpus):
        many = sum([sum(truth.raters) >= LEAST_RATERS for truth in corpus.truths])
        return many >= LEAST_SHARE * len(corpus.truths)

    @staticmethod
    def levels(corpus, truth, shares):
        if sum(truth.raters) < LEAST_RATERS or not Evidence.enough_of(corpus):
            return [0.0] * 3
        return corpus.splits.error(truth.raters, shares)

    @staticmethod
    def enough_of(corpus):
        if corpus.splittable is None:
            corpus.splittable = Evidence.enough(corpus)
        return corpus.splittable

    # -- sums over speakers --

    def corpus(self, name):
        return self.study.corpora[name]

    def sums(self, key, name):
        """Sums of a loss by speaker."""
        if (key, name) not in self._sums:
            corpus = self.corpus(key[0])
            own: list = [[] for _ in corpus.names]
            for person, value in zip(corpus.speakers, self.losses[key, name]):
                own[person].append(value)
            self._sums[key, name] = [math.fsum(values) for values in own]
        sums = self._sums[key, name]
        more = self.changed.get((key, name))
        return list(map(add, sums, more)) if more else sums

    def sizes(self, corpus, which="all"):
        """Utterances by speaker: `all`, those with two whole votes (`counted`) or four (`kept`)."""
        if (corpus, which) not in self._sizes:
            own = self.corpus(corpus)
            least = {"all": 0, "counted": 2, "kept": LEAST_RATERS}[which]
            sizes = [0] * len(own.names)
            for person, truth in zip(own.speakers, own.truths):
                sizes[person] += which == "all" or sum(truth.raters) >= least
            self._sizes[corpus, which] = sizes
        return self._sizes[corpus, which]

    def counted(self, corpus):
        """Raises Untestable where too few clips have two whole votes."""
        sizes = self.sizes(corpus, "counted")
        if sum(sizes) < LEAST_SHARE * len(self.corpus(corpus).ids):
            raise Untestable("two or more whole votes")
        return sizes

    def split(self, corpus):
        """Raises Untestable where too few clips have four raters, or no clip is low or high."""
        own = self.corpus(corpus)
        if not self.enough_of(own):
            raise Untestable("or more raters")
        for level in (0, 2):
            if not own.splits.weight[level]:
                raise Untestable("no clip is ever")
        return self.sizes(corpus, "kept")

    def weights(self, corpus):
        """By level, by speaker: the share of the splits."""
        own = self.corpus(corpus)
        weights = [[0.0] * len(own.names) for _ in range(3)]
        for person, truth in zip(own.speakers, own.truths):
            for level, (part, _, _) in enumerate(own.splits.parts.get(truth.raters, ())):
                weights[level][person] += part
        return weights

    def tilt(self, corpus):
        """By utterance, the share of its splits at high less at low."""
        own = self.corpus(corpus)
        for truth in own.truths:
            parts = own.splits.parts.get(truth.raters)
            yield parts[2][0] - parts[0][0] if parts else 0.0

    def estimate(self, sums, corpus, terms):
        """The mean over all utterances of what has these sums by speaker.

        terms: its parts (weight, column, loss), to tell whether it is 0 for every utterance.
        """
        sizes = self.sizes(corpus)
        interval = Interval.of_mean(sums, sizes, level=DECIDING)
        nothing = False
        if interval.reason == STILL and max(map(abs, sums)) <= 1e-12 * sum(sizes):
            columns = [(weight, self.losses[key, name]) for weight, key, name in terms]
            nothing = not any(
                abs(sum([weight * values[at] for weight, values in columns])) > 1e-15
                for at in range(sum(sizes))
            )
        return Estimate.of(interval, sum(sizes), nothing)

    def ratio(self, rows, sizes, value):
        """A function of sums over utterances, by the jackknife; rows: sums by speaker, by part."""
        there = [place for place, size in enumerate(sizes) if size]
        parts = [[row[place] for row in rows] for place in there]
        total = [math.fsum(column) for column in zip(*parts)]
        without = [value(list(map(sub, total, one))) for one in parts]
        interval = Interval(value(total), without, [sizes[place] for place in there], DECIDING)
        return Estimate.of(interval, sum(sizes), interval.value == 0)

    # -- whether models hear --

    def deaf(self):
        """Why (corpus, model) were not shown to hear the clips."""
        names: list = []
        ps: list = []
        deaf = {key[:2]: "the run has no control" for key in self.there}
        for key in sorted(self.there):
            if key[2:] == ("greedy", ""):
                names.append(key[:2])
                other = (*key[:3], CONTROL)
                if (other, "js") not in self.losses:
                    ps.append(None)
                    continue
                sums = plus((1.0, self.sums(other, "js")), (-1.0, self.sums(key, "js")))
                terms = [(1.0, other, "js"), (-1.0, key, "js")]
                ps.append(self.estimate(sums, key[0], terms))
        known = [one for one in ps if one is not None]
        adjusted = iter(holm([one.p for one in known], len(known)))
        for name, one in zip(names, ps):
            if one is not None:
                deaf[name] = "not shown to hear"
                if next(adjusted) < 0.05 and one.value > 0:
                    del deaf[name]
        return deaf


def bhattacharyya(truth, shares):
    return sum([math.sqrt(a * b) for a, b in zip(truth.shares, shares)])


def brier(truth, shares):
    return sum([(a - b) * (a - b) for a, b in zip(truth.shares, shares)])


def accuracy(truth, shares):
    """In points."""
    return 100 * sum(map(float.__mul__, map(float, truth.top), map(float, top_of(shares))))


def brier_of_raters(truth, shares):
    """Unbiased, over raters with one vote each; 0 where there are not two."""
    n = sum(truth.raters)
    if n < 2:
        return 0.0
    truth_shares = [vote / n for vote in truth.raters]
    square = sum([share * share for share in truth_shares])
    return sum([(a - b) * (a - b) for a, b in zip(truth_shares, shares)]) - (1 - square) / (n - 1)


LOSS_OF = {
    "js": js_bits,
    "brier": brier,
    "accuracy": accuracy,
    "bhattacharyya": bhattacharyya,
    "unbiased": brier_of_raters,
}


class Outcome:
    """The result of an estimator; docs/claims.md.

    moves: by column, the sign of a change in its loss that raises the estimate, one for all
        utterances or one for each
    """

    def __init__(self, main, p, parts=(), moves=(), note="", guards=()):
        self.main, self.p, self.parts, self.moves = main, p, parts, moves
        self.note, self.guards = note, guards


def by_corpus(claim):
    """corpus -> its cells, corpora sorted."""
    places: dict = {}
    for place in sorted(claim.places, key=lambda one: one[0]):
        places.setdefault(place[0], []).append(place)
    return places


def flip_p(by_name, evidence):
    """Sign flip of all speakers' sums, each divided by the utterances and the number of corpora."""
    scaled = [
        one / (len(evidence.corpus(name).ids) * len(by_name))
        for name, sums in by_name.items()
        for one in sums
    ]
    if len(scaled) > MOST_FLIPPED or len(scaled) < 2:
        return NAN
    return sign_flip(scaled)


def mean_over(terms, evidence):
    """(estimate, p) of a mean over corpora. terms: corpus -> [(weight, column, loss)]."""
    sums, estimates = {}, []
    for corpus, parts in terms.items():
        own = plus(*[(weight, evidence.sums(key, name)) for weight, key, name in parts])
        sums[corpus] = own
        estimates.append(evidence.estimate(own, corpus, parts))
    main, p = combined(estimates), flip_p(sums, evidence)
    return main, main.p if p != p else p


def gain_terms(claim, places, loss):
    """Mean loss of the references less that of the strategies."""
    each = 1 / len(places)
    return [
        part
        for place in places
        for part in ((each, claim.against(place), loss), (-each, claim.own(place), loss))
    ]


def against_moves(claim, places):
    moves: dict = {}
    for place in places:
        moves[claim.own(place)] = -1.0
        if claim.reference == "greedy":
            key = claim.against(place)
            moves[key] = moves.get(key, 0.0) + 1.0
    return moves


def mean_gain(claim, evidence):
    places = by_corpus(claim)
    terms = {name: gain_terms(claim, own, claim.metric) for name, own in places.items()}
    main, p = mean_over(terms, evidence)
    guards: tuple = ()
    if claim.metric == "js":
        guard = {name: gain_terms(claim, own, "brier") for name, own in places.items()}
        guards = (mean_over(guard, evidence)[0],)
    moves = (against_moves(claim, claim.places),)
    return Outcome(main, directed(p, main.value, claim.sign), moves=moves, guards=guards)


def metric_gain(claim, evidence):
    (place,) = claim.places
    own, other = claim.own(place), claim.against(place)
    main, p = mean_over(
        {place[0]: [(1.0, own, claim.metric), (-1.0, other, claim.metric)]}, evidence
    )
    sign = 1 if (claim.published or 0.0) > 0 else -1
    return Outcome(main, directed(p, main.value, sign), moves=({own: 1.0, other: -1.0},))


def metric_level(claim, evidence):
    (place,) = claim.places
    own = claim.own(place)
    sums = evidence.sums(own, claim.metric)
    main = combined([evidence.estimate(sums, place[0], [(1.0, own, claim.metric)])])
    return Outcome(main, NAN, moves=({own: 1.0},))


def group_gap(claim, evidence):
    parts, ps, moves = [], [], []
    for corpus, places in by_corpus(claim).items():
        terms, shares = [], {}
        for group, sign in (("open", 1.0), ("closed", -1.0)):
            members = [claim.own(place) for place in places if place[3] == group]
            terms += [(sign / len(members), key, claim.metric) for key in members]
            shares.update(dict.fromkeys(members, sign / len(members)))
        estimate, p = mean_over({corpus: terms}, evidence)
        parts.append(estimate)
        ps.append(directed(p, estimate.value, claim.sign))
        moves.append(shares)
    least = min(parts, key=lambda one: one.value * claim.sign)
    return Outcome(least, max(ps), parts, moves, "the corpus with the smallest difference")


def share_gap(claim, evidence):
    estimates, moves = [], {}
    for corpus, places in by_corpus(claim).items():
        sizes, rows, sides = evidence.counted(corpus), [], []
        for model in sorted({place[1] for place in places}):
            own = [place for place in places if place[1] == model]
            base = evidence.sums((corpus, model, "greedy", ""), "unbiased")
            gains = [(1.0, base)] + [
                (-1 / len(own), evidence.sums(claim.own(place), "unbiased")) for place in own
            ]
            rows += [plus(*gains), base]
            sides.append(1.0 if own[0][3] == "closed" else -1.0)
            moves.update({claim.own(place): -sides[-1] for place in own})
            above_noise(base, sizes)
        many = {side: max(sides.count(side), 1) for side in sides}
        weights = [side / many[side] for side in sides]

        def value(sums, weights=weights):
            parts = [a / b if b else NAN for a, b in zip(sums[::2], sums[1::2])]
            return sum([one * weight for one, weight in zip(parts, weights)])

        estimate = evidence.ratio(rows, sizes, value)
        if estimate.error == 0:
            estimate.reason = STILL
        estimates.append(estimate)
    main = combined(estimates)
    return Outcome(main, directed(main.p, main.value, claim.sign), moves=(moves,))


def above_noise(sums, sizes):
    there = [(one, size) for one, size in zip(sums, sizes) if size]
    own = Interval.of_mean(*zip(*there), level=DECIDING)
    if own.reason or own.value <= 0 or own.value < 3 * own.error:
        raise Untestable("standard errors above 0")


def worst_cell(claim, evidence):
    parts, ps = [], []
    for place in claim.places:
        estimate, p = mean_over({place[0]: gain_terms(claim, [place], claim.metric)}, evidence)
        parts.append(estimate)
        ps.append(directed(p, estimate.value, -1))
    least = min(range(len(parts)), key=lambda at: parts[at].value)
    nearest = min(range(len(parts)), key=lambda at: parts[at].low)
    p = min([one for one in holm(ps, len(ps)) if one == one], default=NAN)
    moves = [against_moves(claim, [claim.places[at]]) for at in dict.fromkeys((least, nearest))]
    corpus, model, strategy, _ = claim.places[least]
    note = f"the smallest gain is that of {model} × {corpus} × {strategy}"
    return Outcome(parts[least], p, parts, moves, note)


def nowhere_best(claim, evidence):
    strategies = list(dict.fromkeys(place[2] for place in claim.places))
    cells = list(dict.fromkeys(place[:2] for place in claim.places))
    if len(cells) < 2:
        raise Untestable("one model on one corpus")
    many = len(cells) * (len(strategies) - 1)
    worse: dict = {name: [] for name in strategies}
    better: dict = {name: [] for name in strategies}
    effective = []
    for corpus, model in cells:
        for a, b in combinations(strategies, 2):  # above 0: a is worse
            keys = [(corpus, model, name, "") for name in (a, b)]
            terms = {corpus: [(1.0, keys[0], claim.metric), (-1.0, keys[1], claim.metric)]}
            estimate, p = mean_over(terms, evidence)
            worse[a].append(min(1.0, many * directed(p, estimate.value, 1)))
            worse[b].append(min(1.0, many * directed(p, estimate.value, -1)))
            better[b].append(estimate.low)
            better[a].append(-estimate.high)
            effective.append(estimate.effective)
    smallest = {name: min(ps) for name, ps in worse.items()}
    staying = [name for name in strategies if smallest[name] >= 0.05]
    corpora = {corpus for corpus, _ in cells}
    main = Estimate(
        float(len(staying)),
        people=sum([len(evidence.corpus(name).names) for name in corpora]),
        effective=min([one for one in effective if one == one], default=NAN),
        n=sum([len(evidence.corpus(name).ids) for name in corpora]),
    )
    parts = [Estimate(min(lows), low=min(lows)) for lows in better.values()]
    nearest = max(strategies, key=smallest.__getitem__)
    moves = ({(corpus, model, nearest, ""): 1.0 for corpus, model in cells},)
    note = f"in every set: {', '.join(staying) or 'none'}"
    return Outcome(main, max(smallest.values()), parts, moves, note)


def spread_ratio(claim, evidence):
    named = {
        group: list(dict.fromkeys(place[2] for place in claim.places if place[3] == group))
        for group in ("weighted", "plain")
    }
    cells = sorted({place[:2] for place in claim.places if place[3] == "weighted"})
    parts = [
        combined([log_ratio(pair, cells, claim, evidence)])
        for pair in zip(named["weighted"], named["plain"])
    ]
    ps = [directed(one.p, one.value, claim.sign) for one in parts]
    least = min(parts, key=lambda one: one.value * claim.sign)
    return Outcome(least, max(ps), parts, note="the pair that supports the claim least")


def variance(values):
    middle = sum(values) / len(values)
    return sum([(one - middle) ** 2 for one in values]) / (len(values) - 1)


def log_ratio(pair, cells, claim, evidence):
    """Log of the ratio of the spreads of two strategies' gains over cells, less their noise."""
    if len(cells) < 3:
        raise Untestable("a spread over cells needs at least 3")
    corpora = sorted({corpus for corpus, _ in cells})
    whole, without = [], []
    for strategy in pair:
        values, left = [], []
        for corpus, model in cells:
            place, sizes = (corpus, model, strategy, ""), evidence.sizes(corpus)
            if len(sizes) < 2:
                raise Untestable("one cluster")
            sums = plus(
                (1.0, evidence.sums(claim.against(place), claim.metric)),
                (-1.0, evidence.sums(claim.own(place), claim.metric)),
            )
            total, n = math.fsum(sums), sum(sizes)
            values.append(total / n)
            left.append([(total - one) / (n - size) for one, size in zip(sums, sizes)])
        trace = every = 0.0
        for corpus in corpora:
            moved = [
                [one - sum(own) / len(own) for one in own]
                for own, cell in zip(left, cells)
                if cell[0] == corpus
            ]
            scale = (len(moved[0]) - 1) / len(moved[0])
            trace += scale * math.fsum([one * one for own in moved for one in own])
            every += scale * math.fsum([sum(column) ** 2 for column in zip(*moved)])
        noise = (trace - every / len(cells)) / (len(cells) - 1)
        spread = variance(values) - noise
        if not spread > 0:
            raise Untestable(f"the gains of {strategy} differ between cells by no more than")
        whole.append(spread)
        moved_by: list = []
        for corpus in corpora:
            moved_by.append([])
            for g in range(len(evidence.sizes(corpus))):
                moved = [
                    own[g] if cell[0] == corpus else value
                    for own, cell, value in zip(left, cells, values)
                ]
                moved_by[-1].append(variance(moved) - noise)
        without.append(moved_by)
    variances, effective, people, n = [], [], 0, 0
    for corpus, first, second in zip(corpora, *without):
        if min(first) <= 0 or min(second) <= 0:
            raise Untestable("without one of the clusters the gains differ by no more than")
        logs = [0.5 * math.log(a / b) for a, b in zip(first, second)]
        variances.append(variance(logs) * (len(logs) - 1) ** 2 / len(logs))
        sizes = evidence.sizes(corpus)
        effective.append(sum(sizes) ** 2 / sum([size * size for size in sizes]))
        people, n = people + len(sizes), n + sum(sizes)
    if min(effective) < 1.5:
        raise Untestable("one cluster has nearly all")
    spread = math.fsum(variances)
    value = 0.5 * math.log(whole[0] / whole[1])
    if not spread > 0:
        raise Untestable(STILL)
    freedom = spread**2 / math.fsum([v * v / (g - 1) for v, g in zip(variances, effective)])
    return with_freedom(value, math.sqrt(spread), freedom, people, n)


def ambiguity_contrast(claim, evidence):
    contrasts_by_corpus, moves = [], {}
    for corpus, places in by_corpus(claim).items():
        sizes, weights = evidence.split(corpus), evidence.weights(corpus)
        if sum([size > 0 for size in sizes]) < 2:
            raise Untestable("one cluster")
        keys = [claim.against(place) for place in places]
        ours = [
            plus(*[(1 / len(places), evidence.sums(claim.own(one), f"levels {level}"))
                   for one in places])
            for level in range(3)
        ]  # fmt: skip
        contrasts = []
        for role in ("", "tempered"):
            theirs = [
                plus(*[(1 / len(keys), evidence.sums((*key[:3], role), f"levels {level}"))
                       for key in keys])
                for level in range(3)
            ]  # fmt: skip
            there = [place for place, size in enumerate(sizes) if size]
            if not far_above_0([theirs[0][at] for at in there], [sizes[at] for at in there]):
                raise Untestable("standard errors above 0")
            rows = [plus((1.0, a), (-1.0, b)) for a, b in zip(theirs, ours)] + theirs + weights
            contrasts += [evidence.ratio(rows, sizes, value) for value in CONTRAST_OF.values()]
        contrasts_by_corpus.append(contrasts)
        tilt = array("d", [-one for one in evidence.tilt(corpus)])
        moves.update({claim.own(place): tilt for place in places})
    six = [combined(column) for column in zip(*contrasts_by_corpus)]
    p = max([directed(one.p, one.value, claim.sign) for one in six])
    return Outcome(six[0], p, six, (moves,), "share removed of greedy's error, high minus low")


def skill_contrast(claim, evidence):
    estimates, moves = [], {}
    for corpus, places in by_corpus(claim).items():
        sizes, own = evidence.split(corpus), evidence.corpus(corpus)
        priors = priors_without(own)
        if priors[0] is None:
            raise Untestable("one cluster")
        prior = [[0.0] * len(sizes) for _ in range(3)]
        for person, truth in zip(own.speakers, own.truths):
            if truth.raters in own.splits.parts:
                errors = own.splits.error(truth.raters, priors[person])
                for level, value in enumerate(errors):
                    prior[level][person] += value
        for level in (0, 2):
            above_noise(prior[level], sizes)
        error = [
            plus(*[(1 / len(places), evidence.sums(claim.own(one), f"levels {level}"))
                   for one in places])
            for level in range(3)
        ]  # fmt: skip

        def value(s):
            return s[0] / s[3] - s[2] / s[5] if s[3] and s[5] else NAN

        estimates.append(evidence.ratio(error + prior, sizes, value))
        tilt = array("d", [-one for one in evidence.tilt(corpus)])
        moves.update({claim.own(place): tilt for place in places})
    main = combined(estimates)
    return Outcome(main, directed(main.p, main.value, claim.sign), moves=(moves,))


ESTIMATORS = {
    one.__name__: one
    for one in (
        mean_gain, metric_gain, metric_level, group_gap, share_gap, worst_cell, nowhere_best,
        spread_ratio, ambiguity_contrast, skill_contrast,
    )
}  # fmt: skip


# Rules: (claim, outcome, p after Holm) -> (verdict, what the reason says).


def rule_gain(claim, outcome, p):
    one = outcome.main
    if one.high < claim.tolerance:
        return NOT_REPRODUCED, f"the upper end is below δ = {claim.tolerance:g}"
    if not one.low > 0:
        return NOT_SHOWN, "the interval contains 0"
    if not p < 0.05:
        return NOT_SHOWN, "not after Holm over the family"
    if any(guard.high < 0 for guard in outcome.guards):
        return NOT_SHOWN, "by the Brier score below 0"
    return HOLDS, "above 0"


def rule_sign(claim, outcome, p):
    one = outcome.main
    near, far = (one.low, one.high) if claim.sign > 0 else (-one.high, -one.low)
    if far < 0:
        return NOT_REPRODUCED, f"shown to be {'below' if claim.sign > 0 else 'above'} 0"
    if not near > 0:
        return NOT_SHOWN, "the interval contains 0"
    if not p < 0.05:
        return NOT_SHOWN, "not after Holm over the family"
    return HOLDS, f"{claim.direction} 0"


def rule_everywhere(claim, outcome, p):
    near = [one.low if claim.sign > 0 else -one.high for one in outcome.parts]
    far = [one.high if claim.sign > 0 else -one.low for one in outcome.parts]
    if min(far) < 0:
        many = sum([one < 0 for one in far])
        return NOT_REPRODUCED, f"{many} of {len(far)} are shown to have the other sign"
    if not min(near) > 0:
        many = sum([one > 0 for one in near])
        return NOT_SHOWN, f"{many} of {len(near)} are shown to be {claim.direction} 0"
    if not p < 0.05:
        return NOT_SHOWN, "not after Holm over the family"
    return HOLDS, f"all {len(near)} are {claim.direction} 0"


def rule_somewhere_worse(claim, outcome, p):
    if p < 0.05:
        return HOLDS, outcome.note
    if all(one.low > -claim.tolerance for one in outcome.parts):
        return NOT_REPRODUCED, f"no cell loses δ = {claim.tolerance:g} or more"
    return NOT_SHOWN, "no cell is shown to lose"


def rule_nobody_everywhere(claim, outcome, p):
    if outcome.main.value == 0 and p < 0.05:
        return HOLDS, ""
    if any(one.low > 0 for one in outcome.parts):
        return NOT_REPRODUCED, "one strategy beats all others in every cell"
    if outcome.main.value == 0:
        return NOT_SHOWN, "not after Holm over the family"
    return NOT_SHOWN, "not shown to be worse anywhere"


def rule_ambiguity(claim, outcome, p):
    if outcome.parts[0].high < 0 and outcome.parts[3].high < 0:
        return NOT_REPRODUCED, "smaller at 'high'"
    names = [f"{what} against {of}" for of in ("greedy", "greedy tempered")
             for what in ("share", "gain", "overall")]  # fmt: skip
    wanting = [name for name, one in zip(names, outcome.parts) if not one.low > 0]
    if wanting:
        return NOT_SHOWN, f"not shown to be above 0: {', '.join(wanting)}"
    if not p < 0.05:
        return NOT_SHOWN, "not after Holm over the family"
    return HOLDS, "above 0"


def rule_published_gain(claim, outcome, p):
    one, published = outcome.main, claim.published or 0.0
    if (one.high - one.low) / 2 > abs(published) / 2:
        return NOT_SHOWN, "too wide to tell"
    if not one.low <= published <= one.high:
        return NOT_REPRODUCED, "is outside our interval"
    if not (one.low > 0 or one.high < 0):
        return NOT_SHOWN, "the interval contains the published gain and 0"
    if not p < 0.05:
        return NOT_SHOWN, "not after Holm over the family"
    return HOLDS, "is in our interval"


def rule_published_level(claim, outcome, p):
    one, published, allowed = outcome.main, claim.published or 0.0, claim.tolerance
    if one.low > published + allowed or one.high < published - allowed:
        return NOT_REPRODUCED, "our whole interval is more than"
    if (one.high - one.low) / 2 > allowed:
        return NOT_SHOWN, "too wide to tell"
    near = abs(one.value - published) <= allowed
    return WITHIN if near else NOT_SHOWN, f"{allowed:g} is allowed"


RULES = {
    one.__name__[len("rule_") :]: one
    for one in (
        rule_gain, rule_sign, rule_everywhere, rule_somewhere_worse, rule_nobody_everywhere,
        rule_ambiguity, rule_published_gain, rule_published_level,
    )
}  # fmt: skip


class Decided:
    """A claim, its outcome, and whether this file can decide it."""

    def __init__(self, claim, why):
        self.claim, self.why, self.outcome, self.p = claim, why, None, NAN
        self.given = False  # a pool of candidates that need repair
        self.missing = self.failed = 0


def decide(evidence):
    """Every claim of the run, in the order of the book."""
    deaf = evidence.deaf() if evidence.wanted else {}
    decisions = []
    for claim in evidence.listed:
        one = Decided(claim, evidence.refused[claim.id])
        one.missing = len(evidence.missing(claim))
        one.failed = sum([evidence.failed.get(claim.own(place), 0) for place in claim.places])
        decisions.append(one)
        if not one.why:
            one.why = next(
                (deaf[name] for name in sorted({p[:2] for p in claim.places} & set(deaf))), ""
            )
        keys = {key for place in claim.places for key in claim.needed(place)}
        one.given = bool(keys & evidence.unknown)
        if not one.why and not one.given:
            try:
                one.outcome = ESTIMATORS[claim.estimator](claim, evidence)
            except Untestable as error:
                one.why = str(error)
    for one, p in zip(decisions, in_families(decisions)):
        one.p = p
    return decisions


def in_families(decided, at=-1, outcome=None):
    """p after Holm over each claim's family; `outcome` replaces that of claim `at`."""
    adjusted_ps = [NAN] * len(decided)
    families: dict = {}
    for place, one in enumerate(decided):
        families.setdefault(one.claim.family, []).append(place)
    for places in families.values():
        outcomes = [outcome if place == at else decided[place].outcome for place in places]
        ps = [NAN if one is None else one.p for one in outcomes]
        for place, p in zip(places, holm(ps, len(ps))):
            adjusted_ps[place] = p
    return adjusted_ps


class Flips:
    """Whether a verdict changes when some number of answers do."""

    def __init__(self, decided, at, evidence):
        self.decided, self.at, self.evidence = decided, at, evidence
        one = decided[at]
        self.verdict = RULES[one.claim.rule](one.claim, one.outcome, one.p)[0]
        metric = one.claim.metric
        self.order_by = metric if metric in ("accuracy", "bhattacharyya") else "js"
        self.extremes: dict = {}

    def changes(self, count):
        """For each way to change answers: whether the first `count` do. None: all of them."""
        changes = []
        for moves in self.decided[self.at].outcome.moves:
            for sign in (1.0, -1.0):
                order, edges = self._order(moves, sign)
                most = len(order) if count is None else count
                changes.append(0 < most <= len(order) and self._other(order[:most], edges))
        return changes

    def _ends(self, corpus, truth, name):
        """The loss of the best answer, and of the worst."""
        known = self.extremes.get((id(truth), name))
        if known is None:
            worst = [0.0] * len(truth.shares)
            worst[truth.shares.index(min(truth.shares))] = 1.0
            known = []
            for shares in (truth.shares, worst):
                if name == "levels":
                    known.append(Evidence.levels(corpus, truth, shares))
                else:
                    known.append(LOSS_OF[name](truth, shares))
            self.extremes[id(truth), name] = known
        return known

    def _order(self, moves, sign):
        """(answers by how far they move the estimate, (starts of columns, flags: to the worst))."""
        effects, to_worst, edges = array("d"), bytearray(), []
        for key in sorted(moves):
            corpus, weight = self.evidence.corpus(key[0]), moves[key]
            n = len(corpus.ids)
            edges.append((len(effects), key))
            weights = weight if isinstance(weight, array) else [weight] * n
            now = self.evidence.losses[key, self.order_by]
            for truth, own, value in zip(corpus.truths, weights, now):
                best, worst = self._ends(corpus, truth, self.order_by)
                up, down = sign * own * (worst - value), sign * own * (best - value)
                to_worst.append(up > down)
                effects.append(round(max(up, down) / n, 9))
        order = [at for at in range(len(effects)) if effects[at] > 0]
        order.sort(key=effects.__getitem__, reverse=True)
        return order, (edges, to_worst)

    def _other(self, chosen, edges):
        """Whether the verdict is another one with these answers changed."""
        (starts, to_worst), evidence = edges, self.evidence
        claim = self.decided[self.at].claim
        changed: dict = {}
        places = sorted(chosen)
        ends = [start for start, _ in starts[1:]] + [len(to_worst)]
        first = 0
        for (start, key), end in zip(starts, ends):
            corpus = evidence.corpus(key[0])
            last = first
            while last < len(places) and places[last] < end:
                last += 1
            for name in claim.losses & evidence.wanted[key]:
                parts = [f"levels {level}" for level in range(3)] if name == "levels" else [name]
                added = [[0.0] * len(corpus.names) for _ in parts]
                for at in places[first:last]:
                    person, truth = corpus.speakers[at - start], corpus.truths[at - start]
                    to = self._ends(corpus, truth, name)[to_worst[at]]
                    for own, part, value in zip(added, parts, to if len(parts) > 1 else [to]):
                        own[person] += value - evidence.losses[key, part][at - start]
                for own, part in zip(added, parts):
                    changed[key, part] = own
            first = last
        evidence.changed = changed
        try:
            outcome = ESTIMATORS[claim.estimator](claim, evidence)
        except Untestable:
            return self.verdict != NOT_TESTED
        finally:
            evidence.changed = {}
        p = in_families(self.decided, self.at, outcome)[self.at]
        return RULES[claim.rule](claim, outcome, p)[0] != self.verdict


# --- everything -----------------------------------------------------------------------------------


STATEMENT, CRATE = "provenance/statement.json", "ro-crate-metadata.json"
HOME = "https://arxiv.org/abs/2602.03873"
RO_CRATE = "https://w3id.org/ro/crate/1.1"
PROCESS_RUN = "https://w3id.org/ro/wfrun/process/0.5"
RUN_TERMS = "https://w3id.org/ro/terms/workflow-run"
APACHE = "https://spdx.org/licenses/Apache-2.0"
MEDIA = {
    "csv": "text/csv",
    "gz": "application/gzip",
    "json": "application/json",
    "jsonl": "application/jsonl",
    "md": "text/markdown",
    "py": "text/x-python",
    "yaml": "application/yaml",
}
DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
COMMIT = re.compile(r"(?:[0-9a-f]{40}|[0-9a-f]{64})")


def check_provenance(study, findings):
    """Check that statement and crate are those that the other files give (docs/bundle.md)."""
    folder = study.folder
    texts = [folder.text(path) for path in (STATEMENT, CRATE)]
    statement, crate = (strict_json(text, path) for text, path in zip(texts, (STATEMENT, CRATE)))
    listing = {path: folder.hashed(path) for path in sorted(folder.paths - {STATEMENT, CRATE})}
    expected = statement_of(study, folder.document("env/machine.json"), listing)
    same_document(STATEMENT, texts[0], statement, expected, findings)
    listing[STATEMENT] = folder.hashed(STATEMENT)
    date = crate_date(crate)
    expected = crate_of(study.plan, study.run["ambiemo"], date, dict(sorted(listing.items())))
    same_document(CRATE, texts[1], crate, expected, findings)


def statement_of(study, machine, listing):
    """The in-toto statement. listing: (hash, size) of every other file but the crate, by path."""
    plan = {"name": PLAN, "digest": {"sha256": listing[PLAN][0]}}
    environment = {"name": "env/machine.json", "digest": {"sha256": listing["env/machine.json"][0]}}

    def below(*folders):
        return [
            {"name": path, "digest": {"sha256": digest}}
            for path, (digest, _) in listing.items()
            if path.startswith(folders)
        ]

    source, needs = machine.get("source", {}), []
    if source.get("tree"):
        tree = source["tree"]
        digest, clean = {"gitTree": tree.rsplit(":", 1)[1]}, {"clean": source["clean"]}
        needs.append({"uri": tree, "digest": digest, "annotations": clean})
    elif source.get("python_files_sha256"):
        digest = {"sha256": source["python_files_sha256"]}
        needs.append({"name": f"ambiemo {source['version']}", "digest": digest})
    for name, model in sorted(study.models.items()):
        revision = model.get("revision") or ""
        annotations = {"weights": model.get("weights"), "revision": revision}
        need = {"name": f"model {name}", "annotations": annotations}
        if COMMIT.fullmatch(revision):
            need["digest"] = {"gitCommit" if len(revision) == 40 else "sha256": revision}
        needs.append(need)
    for name, corpus in sorted(study.described.items()):
        needs += [
            {"name": f"corpus {name}: {path}", "digest": {"sha256": digest}}
            for path, digest in sorted(corpus["sources"])
        ]
    version = study.run["ambiemo"]
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": below("tables/"),
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": "urn:ambiemo:run:v1",
                "externalParameters": {"plan": plan, "run": study.run},
                "internalParameters": {"environment": environment},
                "resolvedDependencies": needs,
            },
            "runDetails": {
                "builder": {"id": f"urn:ambiemo:{version}", "version": {"ambiemo": version}},
                "byproducts": below("answers/", "scores/", "predictions/", "log/"),
            },
        },
    }


def crate_date(crate):
    """The day that a crate says its run ended, or None: nothing in data/ knows it."""
    graph = crate.get("@graph") if isinstance(crate, dict) else None
    root = graph[1] if isinstance(graph, list) and len(graph) > 1 else None
    date = root.get("datePublished") if isinstance(root, dict) else None
    if date is not None and not (isinstance(date, str) and DAY.fullmatch(date)):
        raise fault(f"{CRATE}: datePublished", date, "a day such as 2026-11-28")
    return date


def crate_of(plan, version, date, listing):
    """The RO-Crate. listing: (hash, size) of every other file, by path."""
    name, us = plan["name"], {"@id": "#contributors"}
    software = f"{HOME}#ambiemo-{version}"

    def parts(*folders):
        return [{"@id": path} for path in listing if path.startswith(folders)]

    metadata = {
        "@id": CRATE,
        "@type": "CreativeWork",
        "conformsTo": {"@id": RO_CRATE},
        "about": {"@id": "./"},
    }
    root = {
        "@id": "./",
        "@type": "Dataset",
        "name": f"ambiemo bundle {name}",
        "description": plan["title"] or f"Answers, predictions and tables of the plan {name}",
        "license": {"@id": APACHE},
        "conformsTo": {"@id": PROCESS_RUN},
        "hasPart": parts(""),
        "mentions": {"@id": "#run"},
        "author": us,
        "publisher": us,
    }
    run = {
        "@id": "#run",
        "@type": "CreateAction",
        "name": f"ambiemo run of the plan {name}",
        "description": "Drew answers from the models, made predictions and tables of them. "
        "env/machine.json says on what.",
        "instrument": {"@id": software},
        "object": parts("config/", "inputs/"),
        "result": parts("predictions/", "tables/"),
        "agent": us,
        "actionStatus": "http://schema.org/CompletedActionStatus",
    }
    if date is not None:
        root["datePublished"] = run["endTime"] = date
    package = {
        "@id": software,
        "@type": "SoftwareApplication",
        "name": "ambiemo",
        "description": "Reproduction package of arXiv 2602.03873",
        "softwareVersion": version,
        "url": HOME,
    }
    people = {**us, "@type": "Organization", "name": "ambiemo contributors", "url": HOME}
    licence = {
        "@id": APACHE,
        "@type": "CreativeWork",
        "name": "Apache License 2.0",
        "identifier": "Apache-2.0",
        "description": "of what the package wrote; answers and votes: see README.md",
    }
    profile = {
        "@id": PROCESS_RUN,
        "@type": "CreativeWork",
        "name": "Process Run Crate",
        "version": "0.5",
    }
    files = [
        {
            "@id": path,
            "@type": "File",
            "name": path,
            "encodingFormat": MEDIA.get(path.rsplit(".", 1)[-1], "text/plain"),
            "contentSize": size,
            "sha256": digest,
        }
        for path, (digest, size) in listing.items()
    ]
    return {
        "@context": [f"{RO_CRATE}/context", {"sha256": f"{RUN_TERMS}#sha256"}],
        "@graph": [metadata, root, run, package, people, licence, profile, *files],
    }


def same_document(path, text, document, expected, findings):
    """Note where a document is not exactly the expected one."""
    apart = first_apart(document, expected, "")
    if apart:
        findings.note(f"{path}: {apart[0]}: found {shown(apart[1])}, expected {shown(apart[2])}")
    elif text != json.dumps(expected, indent=1, ensure_ascii=False) + "\n":
        findings.note(f"{path}: found another spelling than json.dumps with indent=1 gives")


def first_apart(value, expected, where):
    """(place, found, expected) of the first difference of two JSON values, or None."""
    if isinstance(value, dict) and isinstance(expected, dict):
        keys = [*expected, *(key for key in value if key not in expected)]
        pairs = [(key, value.get(key), expected.get(key)) for key in keys]
    elif isinstance(value, list) and isinstance(expected, list):
        if len(value) != len(expected):
            return where or "all", f"{len(value)} entries", f"{len(expected)} entries"
        pairs = [(place, *both) for place, both in enumerate(zip(value, expected))]
    else:
        alike = value == expected and type(value) is type(expected)
        return None if alike else (where or "all", value, expected)
    for key, one, other in pairs:
        apart = first_apart(one, other, f"{where}.{shown(str(key), 60)}".lstrip("."))
        if apart:
            return apart
    return None


LOG_KEYS = "barren calls dollars failed reused seconds stopped".split()
MACHINE_KEYS = (
    "batch_invariant cpu cuda_of_driver gpus image memory_gib packages platform python settings "
    "source"
).split()


def check_notes(folder, findings):
    """Check that the files about the machine and the run have their own keys and no others."""
    for path, keys in (("log/run.log", LOG_KEYS), ("env/machine.json", MACHINE_KEYS)):
        document = folder.document(path)
        if not isinstance(document, dict) or sorted(document) != keys:
            findings.note(
                f"{path}: found {shown(document)}, expected an object of {', '.join(keys)}"
            )


class Check:
    """The whole check of one bundle, and the report at its end."""

    def __init__(self, data):
        self.folder = Folder(data)
        self.findings, self.counted = Findings(), Counted()
        self.study: Any = None

    def run(self):
        folder, findings = self.folder, self.findings
        if "config/run.json" not in folder.paths:
            raise Unreadable("config/run.json: no such file, expected in every bundle")
        study = self.study = Study(folder, findings)
        study.read()
        check_layout(folder, findings)
        for path in sorted(folder.paths):
            if path.endswith(".json"):
                folder.document(path)
        study.check_files()
        check_notes(folder, findings)
        if findings.count:
            return
        tables, failures = Tables(study, self.counted), Failures(folder)
        for corpus in study.corpora.values():
            tables.check_levels(corpus)
            tables.check_baselines(corpus)
        for model, corpus in sorted(study.questions):
            unit = Unit(study, model, corpus, self.counted, tables.evidence.wanted)
            unit.walk(failures)
            self.counted.believed += unit.reading.believed
            tables.unit(unit)
        failures.finish()
        tables.check_claims()
        tables.finish()
        check_provenance(study, findings)
        resting = self.counted.computed + self.counted.given
        if 2 * self.counted.given > resting:
            findings.note(
                f"predictions: {self.counted.given} of {resting} rest on answers that need "
                "repair and were taken as given, "
                "expected at most half: this check says too little about them"
            )

    def report(self, broken=""):
        """Print the findings; returns the exit code."""
        counted, findings = self.counted, self.findings
        if counted.baselines:
            print(
                f"{counted.computed + counted.baselines} predictions made again, {counted.given} "
                "taken as given: they rest on answers that need repair, which this file does not do"
            )
            print(f"{counted.numbers} counts and values of the tables made again")
            gaps = ["bootstrap bounds of ece_5 and ece_10"]
            if counted.unclaimed:
                gaps += [
                    f"{counted.unclaimed} rows of claims.csv about the pool of candidates of which "
                    "some need repair, and p_holm and verdicts of their family"
                ]
            if counted.unflipped:
                gaps += [f"flips of {counted.unflipped} rows of claims.csv"]
            if counted.uncurved:
                gaps += [
                    f"{counted.uncurved} questions of curves.csv, as a candidate needs repair "
                    "(draws, tokens, dollars and the front are)"
                ]
            if counted.unjudged:
                gaps += [
                    f"{counted.unjudged} questions of verifier.csv, as a candidate needs repair"
                ]
            if counted.selfish:
                gaps += [f"{counted.selfish} self-preferences of verifier.csv"]
            if counted.gains_given:
                gaps += [
                    f"single candidates in {counted.gains_given} rows of gains.csv, as some need "
                    "repair (their parts add up)"
                ]
            if counted.untold:
                gaps += [f"{counted.untold} rows of floors.csv on the embedded true distribution"]
            gaps += ["results.md, exact bytes (ambiemo verify does that)"]
            print(f"not checked: {'; '.join(gaps + self._believed())}")
            settings = self._settings()
            if settings:
                print(f"not at its default: {', '.join(settings)}")
        if broken:
            findings.note(broken)
        for line in findings.first:
            print(f"  {line}")
        summary = f"({self._summary()})" if self.study is not None else ""
        if not findings.count:
            print(f"holds {summary}")
            return 0
        more = ", the first 20 above" if findings.count > 20 else ""
        print(f"broken: {findings.count} differences{more} {summary}".rstrip())
        return 1

    def _settings(self):
        """Settings of the plan that move numbers and are not the defaults."""
        plan = self.study.plan
        settings = [
            f"{part}.{key} {shown(str(plan[part].get(key)), 80)}"
            for part, values in DEFAULTS.items()
            for key in values
            if plan[part].get(key) != values[key]
        ]
        for name, strategy in self.study.strategies.items():
            if name not in STRATEGIES and any(own is not None for own in strategy.own):
                settings.append(f"{shown(name, 60)} (weights of its own)")
        return settings

    def _believed(self):
        """What nothing in the bundle can show."""
        corpora = self.study.corpora.values()
        others = [name for name in self.study.corpora if not self.study.embedded(name)]
        shared = sum(len(corpus.clips) - len(set(corpus.clips)) for corpus in corpora)
        acted = sum(corpus.acted for corpus in corpora if 0 < corpus.acted < len(corpus.ids))
        claims = ["whether the models gave these answers"]
        if own := sorted(name for name, entry in self.study.entries.items() if own_model(entry)):
            claims.append(f"what {', '.join(own)} is: a model of the plan's author")
        if others:
            claims.append(f"utterances, clips, speakers and votes of {', '.join(others)}")
        if self.counted.believed:
            claims += [f"whether {self.counted.believed} answers called unparsed name no shares"]
        if shared:
            claims.append(f"why utterances share clips ({shared} have one of another)")
        if acted:
            claims.append(f"why labels are acted among others with votes ({acted} utterances)")
        return claims

    def _summary(self):
        run, study = self.study.run, self.study
        corpora = getattr(study, "corpora", {}).values()
        limits = [
            run.get("limit"),
            *[one["limit"] for one in getattr(study, "plan", {}).get("corpora", ())],
        ]
        limits = [one for one in limits if one is not None]
        limit = f"limit {min(limits)}" if limits else "no limit"
        missing = ", ".join(
            f"{kind} {name}" for kind, name in sorted(getattr(study, "missing", ()))
        )
        n = sum(len(corpus.ids) for corpus in corpora)
        return (
            f"{n} utterances, {self.counted.failed} failed predictions, {limit}, "
            f"missing: {shown(missing) or 'nothing'}"
        )


def shadows(folder):
    """Files of this folder that Python would import in place of a module of its own."""
    names = []
    for entry in os.listdir(folder):
        stem = entry.split(".")[0]
        module = entry.endswith((".py", ".pyc", ".so", ".pyd", ".pyw"))
        package = os.path.exists(os.path.join(folder, entry, "__init__.py"))
        if (module or package) and stem != "verify":
            names.append(entry)
    return sorted(names)


def main(arguments):
    """Check the bundle that holds this file, or the one that is named. Returns the exit code."""
    if len(arguments) > 1 or any(one.startswith("-") for one in arguments):
        print("usage: python3 -I verify.py [BUNDLE]", file=sys.stderr)
        return 2
    data = arguments[0] if arguments else os.path.dirname(os.path.abspath(__file__))
    if os.path.lexists(os.path.join(data, "bagit.txt")):
        data = os.path.join(data, "data")
    check: Any = None
    try:
        check = Check(data)
        check.run()
        return check.report()
    except Unreadable as error:
        print(f"verify.py: {shown(str(error), 600)}", file=sys.stderr)
        return 2
    except Broken as error:
        return check.report(str(error))
    except (OSError, MemoryError) as error:
        print(f"verify.py: {shown(data)}: cannot be read: {shown(repr(error))}", file=sys.stderr)
        return 2
    except (
        Exception
    ) as error:  # whatever error a forged file causes, the bundle is broken, not the check
        return check.report(
            f"the files contradict their documentation: {type(error).__name__}: {error}"
        )


def begin(arguments):
    """Refuse to run where another file of this folder could have been imported."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a terminal may lack a character of a name
            stream.reconfigure(errors="backslashreplace")
    if not sys.flags.isolated:
        files = shadows(os.path.dirname(os.path.abspath(__file__)))
        if files:
            print(
                f"verify.py: {shown(files[0], 80)} lies in this folder and could be imported in "
                "place of a module of Python; "
                "call `python3 -I data/verify.py`",
                file=sys.stderr,
            )
            return 2
    return main(arguments)


if __name__ == "__main__":
    sys.exit(begin(sys.argv[1:]))
