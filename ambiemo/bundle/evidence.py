"""Checks that the files that describe a run agree with the plan, the rows and this package.

Every such file has one form only, which is rebuilt here from its values. Whatever plan and package
know is compared with it: models, judges, prompts, labels, options, counts, `partial`. Every
function raises Broken naming file and key.
"""

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

from ambiemo import __version__, corpora, models
from ambiemo.bundle.contents import naming, parsed, study_rows
from ambiemo.bundle.difference import first_difference, first_of_lines
from ambiemo.bundle.folder import opened
from ambiemo.bundle.inputs import model_rows, prompts_of
from ambiemo.bundle.public import check_public
from ambiemo.corpora.options import resolved
from ambiemo.corpora.utterances import ACTED, Utterances
from ambiemo.errors import AmbiemoError, Broken, shown
from ambiemo.jsonlines import Row, document, strict
from ambiemo.plan.schema import CorpusEntry, Plan
from ambiemo.results.study import Study

RUN_KEYS = {"format", "ambiemo", "claims_sha256", "limit", "missing", "partial"}
MISSING_KEYS = {"kind", "id", "what", "do"}
NUMBERS_OF_A_LOG, TEXTS_OF_A_LOG = ("seconds", "dollars"), ("stopped", "barren")
LOG_KEYS = {"calls", "reused", "failed", *NUMBERS_OF_A_LOG, *TEXTS_OF_A_LOG}
COUNTED = ("utterances", "no_vote_in_label_set", "same_clip", "speakers", "votes", "vote_unit")
"""Counts that every loader gives and that can be checked against the rows."""
MACHINE_KEYS = {
    "batch_invariant",
    "cpu",
    "cuda_of_driver",
    "gpus",
    "image",
    "memory_gib",
    "packages",
    "platform",
    "python",
    "settings",
    "source",
}
DOCUMENTS = (
    "config/run.json",
    "env/machine.json",
    "inputs/corpora.json",
    "inputs/judges.json",
    "inputs/labels.json",
    "inputs/models.json",
    "inputs/vote_units.json",
    "log/run.log",
)


def check_evidence(study: Study, files: Mapping[str, bytes]) -> None:
    """Raise Broken for the first such file that is not as the package writes it, or is wrong."""
    documents = {path: _document(path, files) for path in DOCUMENTS}
    _check_forms(study, files)
    _check_run(study.plan, documents["config/run.json"])
    _check_log(documents["log/run.log"])
    if (keys := set(documents["env/machine.json"])) != MACHINE_KEYS:
        raise Broken(
            f"data/env/machine.json: found keys {shown(', '.join(sorted(keys)), 200)}, "
            f"expected {', '.join(sorted(MACHINE_KEYS))}"
        )
    _check_models(study.plan, documents["inputs/models.json"], files)
    judge = study.plan.verifier.id
    _same(
        "inputs/judges.json",
        documents["inputs/judges.json"],
        {entry.id: entry.id if judge == "self" else judge for entry in study.plan.models},
    )
    described = documents["inputs/corpora.json"]
    for name in study.utterances:
        entry = next((one for one in study.plan.corpora if one.id == name), None)
        if entry is None:
            raise Broken(
                f"data/inputs/labels.json: key {name!a}: found a corpus that config/plan.yaml does not name"
            )
        with naming("inputs/corpora.json"):
            _check_corpus(study, entry, described[name], documents["config/run.json"]["limit"])
    _same(
        "inputs/vote_units.json",
        documents["inputs/vote_units.json"],
        {name: one["counts"]["vote_unit"] for name, one in described.items()},
    )


def _document(path: str, files: Mapping[str, bytes]) -> Any:
    if path not in files:
        raise Broken(f"data/{path}: no such file, expected in every bundle")
    value = parsed(path, files, strict)
    if not isinstance(value, dict):
        raise Broken(
            f"data/{path}: found a value of type {type(value).__name__}, expected one JSON object"
        )
    if difference := first_difference(path, files[path], document(value)):
        raise Broken(
            f"data/{path}, {difference.where}: found {difference.found}, expected {difference.expected} (the one form of this file)"
        )
    return value


def _check_forms(study: Study, files: Mapping[str, bytes]) -> None:
    """Check that the lists of utterances and cells are spelled as a run writes them."""
    for path, expected in study_rows(study).items():
        with naming(path), opened(files, path) as file:
            if difference := first_of_lines(file, expected):
                raise Broken(
                    f"data/{path}, {difference.where}: found {difference.found}, expected {difference.expected} "
                    "(the one form of this file)"
                )


def _same(path: str, value: Any, expected: Any) -> None:
    if value == expected and document(value) == document(expected):
        return
    for where, one, other in _differing("", value, expected):
        raise Broken(
            f"data/{path}: key {where}: found {shown(one, 80)}, expected {shown(other, 80)}, by plan and package"
        )


def _differing(where: str, value: Any, expected: Any) -> Iterator[tuple[str, str, str]]:
    if isinstance(value, dict) and isinstance(expected, dict):
        for key in sorted({*value, *expected}):
            place = f"{where}.{shown(key, 60)}".lstrip(".")
            if key not in value or key not in expected:
                texts = [
                    json.dumps(one[key]) if key in one else "nothing" for one in (value, expected)
                ]
                yield place, texts[0], texts[1]
            else:
                yield from _differing(place, value[key], expected[key])
    elif value != expected or type(value) is not type(expected):
        yield where or "(all)", json.dumps(value), json.dumps(expected)


def _check_run(plan: Plan, run: Row) -> None:
    path = "data/config/run.json"
    if set(run) != RUN_KEYS:
        raise Broken(
            f"{path}: found keys {shown(', '.join(run))}, expected {', '.join(sorted(RUN_KEYS))}"
        )
    if run["ambiemo"] != __version__:
        raise Broken(
            f"{path}: key ambiemo: found {shown(str(run['ambiemo']), 40)!r}, expected {__version__!r}, the version that "
            "verifies; check it with the version that wrote it"
        )
    limit = run["limit"]
    if limit is not None and (type(limit) is not int or limit < 1):
        raise Broken(
            f"{path}: key limit: found {limit!a:.40}, expected null or a whole number, 1 or more"
        )
    if not isinstance(run["missing"], list):
        raise Broken(f"{path}: key missing: found {type(run['missing']).__name__}, expected a list")
    known = {
        "corpus": {entry.id for entry in plan.corpora},
        "model": {entry.id for entry in plan.models},
        "verifier": {entry.id for entry in plan.every_model},
    }
    for place, one in enumerate(run["missing"]):
        where = f"{path}: key missing.{place}"
        if (
            not isinstance(one, dict)
            or set(one) != MISSING_KEYS
            or not all(isinstance(v, str) for v in one.values())
        ):
            raise Broken(
                f"{where}: found {one!a:.80}, expected texts {', '.join(sorted(MISSING_KEYS))}"
            )
        if one["id"] not in known.get(one["kind"], ()):
            raise Broken(
                f"{where}: found {one['kind']!a:.20} {one['id']!a:.60}, expected one that config/plan.yaml names"
            )
        for key in ("what", "do"):
            if not one[key].isprintable() or len(one[key]) > 2000:
                raise Broken(
                    f"{where}.{key}: found {shown(one[key], 60)!r}, expected one printable line of at most 2000 characters"
                )
    partial = limit is not None or bool(run["missing"])
    if run["partial"] is not partial:
        raise Broken(
            f"{path}: key partial: found {run['partial']!a:.20}, expected {partial}, by limit and missing"
        )


def _check_log(log: Row) -> None:
    path = "data/log/run.log"
    if set(log) != LOG_KEYS or not all(
        isinstance(log[key], dict) for key in (*NUMBERS_OF_A_LOG, *TEXTS_OF_A_LOG)
    ):
        raise Broken(
            f"{path}: found keys {shown(', '.join(log))}, expected {', '.join(sorted(LOG_KEYS))}"
        )
    for key in ("calls", "reused", "failed"):
        if type(log[key]) is not int or log[key] < 0:
            raise Broken(
                f"{path}: key {key}: found {log[key]!a:.40}, expected a whole number, 0 or more"
            )
    for name in NUMBERS_OF_A_LOG:
        for key, value in log[name].items():
            number = (
                isinstance(value, int | float)
                and not isinstance(value, bool)
                and 0 <= value < math.inf
            )
            if not number or not key.isprintable():
                raise Broken(
                    f"{path}: key {name}.{shown(key, 60)}: found {value!a:.40}, expected a number, 0 or more"
                )
    for name in TEXTS_OF_A_LOG:
        for key, value in log[name].items():
            if not isinstance(value, str) or not value.isprintable() or not key.isprintable():
                raise Broken(
                    f"{path}: key {name}.{shown(key, 60)}: found {value!a:.40}, expected one line of text"
                )


def _check_models(plan: Plan, rows: Row, files: Mapping[str, bytes]) -> None:
    """Check that models.json and the prompts are this package's own, with the plan's changes."""
    _same("inputs/models.json", rows, model_rows(plan))
    asked = prompts_of(plan.strategies)
    expected = {
        f"config/prompts/{name}/{prompt}.txt": (models.prompt(spec, prompt) + "\n").encode()
        for name, spec in ((entry.id, entry.spec()) for entry in plan.asked_models)
        for prompt in asked
    }
    for path in sorted(
        {*expected, *(path for path in files if path.startswith("config/prompts/"))}
    ):
        if path not in expected:
            raise Broken(f"data/{path}: found a prompt that nobody asks, expected no such file")
        if path not in files:
            raise Broken(f"data/{path}: no such file, expected the prompt")
        if difference := first_difference(path, files[path], expected[path]):
            raise Broken(
                f"data/{path}, {difference.where}: found {difference.found}, expected {difference.expected} (this package's own)"
            )


def _check_corpus(
    study: Study, entry: CorpusEntry, description: Row, run_limit: int | None
) -> None:
    path, name = "data/inputs/corpora.json", entry.id
    if set(description) != {"counts", "options", "sources"}:
        raise Broken(
            f"{path}: corpus {name}: found keys {shown(', '.join(description))}, expected counts, options, sources"
        )
    counts, options = description["counts"], description["options"]
    for where, number in _numbers("counts", counts):
        if not 0 <= number < math.inf or (isinstance(number, float) and number.is_integer()):
            raise Broken(
                f"{path}: corpus {name}: key {where}: found {number!a:.40}, expected a number, 0 or more, as a run writes it"
            )
    for key in COUNTED:
        if key not in counts:
            raise Broken(
                f"{path}: corpus {name}: key counts.{key}: found nothing, expected a number"
            )
    try:
        wanted = corpora.parsed(name, entry.options)
        labels = corpora.label_set(name, entry.options)
    except AmbiemoError as error:
        raise Broken(f"data/config/plan.yaml: {error}") from error
    _same(
        "inputs/corpora.json",
        {f"{name}.options": options},
        {f"{name}.options": json.loads(json.dumps(resolved(wanted)))},
    )
    own_votes = options.get("votes") is not None
    if not own_votes and study.labels[name] != labels:
        raise Broken(
            f"data/inputs/labels.json: key {name}: found {shown(', '.join(study.labels[name]), 80)}, "
            f"expected {', '.join(labels)} (the corpus and its options)"
        )
    for place, source in enumerate(description["sources"]):
        if not (
            isinstance(source, list)
            and len(source) == 2
            and all(isinstance(one, str) for one in source)
        ):
            raise Broken(
                f"{path}: corpus {name}: key sources.{place}: found {source!a:.60}, expected a path and a SHA-256"
            )
        if not source[0].isprintable() or not _is_sha256(source[1]):
            raise Broken(
                f"{path}: corpus {name}: key sources.{place}: found {source!a:.60}, expected a path and a SHA-256"
            )
    if description["sources"] != sorted(description["sources"]):
        raise Broken(
            f"{path}: corpus {name}: key sources: found another order, expected them sorted"
        )
    rows = study.utterances[name]
    _check_rows(name, rows, len(labels) if not own_votes else len(study.labels[name]), own_votes)
    limits = [n for n in (entry.limit, run_limit) if n is not None]
    _check_counts(
        name,
        rows,
        counts,
        limited=len(rows) < counts["utterances"] - counts["no_vote_in_label_set"],
    )
    check_public(entry, rows, description, min(limits, default=None))


def _numbers(where: str, value: Any) -> Iterator[tuple[str, float]]:
    if isinstance(value, dict):
        for key, one in value.items():
            yield from _numbers(f"{where}.{shown(key, 40)}", one)
    elif isinstance(value, bool) or not isinstance(value, int | float):
        raise Broken(
            f"data/inputs/corpora.json: key {where}: found {value!a:.40}, expected a number"
        )
    else:
        yield where, value


def _check_rows(name: str, rows: Utterances, width: int, own_votes: bool) -> None:
    """Check that votes are counts, one per label, and that truth has the source of this corpus."""
    path = "data/inputs/utterances.jsonl"
    source = "votes" if own_votes or corpora.corpus(name).votes else ACTED
    for one in rows:
        where = f"{path}: {shown(one.id, 60)}"
        if (
            not one.id
            or not one.id.isprintable()
            or not one.speaker.isprintable()
            or not one.cluster.isprintable()
        ):
            raise Broken(f"{where}: keys id, speaker, cluster: expected printable text, and an id")
        if len(one.votes) != width or min(one.votes) < 0 or not sum(one.votes):
            raise Broken(
                f"{where}: key votes: found {list(one.votes)!a:.60}, expected {width} counts, 0 or more, not all 0"
            )
        if one.truth_source != source:
            raise Broken(
                f"{where}: key truth_source: found {shown(one.truth_source, 20)!r}, expected {source!r} of {name}"
            )
        if source == ACTED and sum(one.votes) != 1:
            raise Broken(
                f"{where}: key votes: found {list(one.votes)!a:.60}, expected one acted label"
            )
        if one.duration_s is not None and not 0 <= one.duration_s < math.inf:
            raise Broken(
                f"{where}: key duration_s: found {one.duration_s!a:.40}, expected seconds, 0 or more"
            )


def _check_counts(name: str, rows: Utterances, counts: Row, limited: bool) -> None:
    """Check the loader's counts against the rows. Rows that a limit keeps may have fewer."""
    acted = rows.acted
    units = int(rows.votes[~acted].sum()) if len(rows) else 0
    clips = [clip for clip in rows.audio_sha256 if clip]
    speakers = len(set(rows.speakers))
    unit = counts["vote_unit"]
    if type(unit) is not int or unit < 1:
        raise Broken(
            f"data/inputs/corpora.json: corpus {name}: key counts.vote_unit: found {unit!a:.20}, expected 1 or more"
        )
    votes = units // unit if units % unit == 0 else round(units / unit, 6)
    unheard = counts["no_vote_in_label_set"]
    bounds: list[tuple[str, float, float, float]] = [
        # key, what the loader says, least and most of what the rows allow
        (
            "same_clip",
            counts["same_clip"],
            len(clips) - len(set(clips)),
            len(clips) - len(set(clips)),
        ),
        ("votes", counts["votes"], votes, math.inf if limited else votes),
        ("speakers", counts["speakers"], speakers, math.inf if limited else speakers + unheard),
    ]
    for key, count, least, most in bounds:
        if not least <= count <= most:
            expected = (
                f"{least:g}"
                if most == least
                else f"{least:g} or more"
                if most == math.inf
                else f"{least:g} to {most:g}"
            )
            raise Broken(
                f"data/inputs/corpora.json: corpus {name}: key counts.{key}: found {count:g}, expected {expected}, "
                "by the rows of inputs/utterances.jsonl"
            )


def _is_sha256(text: str) -> bool:
    return len(text) == 64 and set(text) <= set("0123456789abcdef")
