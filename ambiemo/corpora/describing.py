"""An utterance table in numbers: counts, votes per utterance, entropy, ambiguity levels."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ambiemo import labels as of
from ambiemo.corpora.columns import SCHEMA, vote_unit, votes_of
from ambiemo.corpora.importing import manifest_path
from ambiemo.durable import sha256
from ambiemo.errors import BadInput
from ambiemo.limits import ROWS_FILE, TooMuch, read_regular
from ambiemo.terminal import Facts

FEW = 8
"""Utterances with fewer votes than this are counted, because their entropy is the least certain."""

Description = dict[str, Any]


def read(path: Path) -> pa.Table:
    """An utterance table from Parquet.

    Raises BadInput for a file that is not Parquet, lacks columns, or differs from its manifest's
    hash.
    """
    import pyarrow.parquet as pq

    if path.is_dir():
        raise BadInput(f"{path}: is a folder; expected a Parquet file of `ambiemo data import`")
    try:
        data = read_regular(path, ROWS_FILE)
        table = pq.read_table(pa.BufferReader(data))
    except TooMuch as error:
        raise BadInput(f"{path}: {error}; make it with `ambiemo data import`") from error
    except OSError as error:
        raise BadInput(
            f"{path}: cannot be read: {error.strerror or error}; make it with `ambiemo data import`"
        ) from error
    except pa.ArrowInvalid as error:
        raise BadInput(
            f"{path}: is not a Parquet file ({str(error).splitlines()[0]}); "
            "make it with `ambiemo data import`"
        ) from error
    if missing := [name for name in SCHEMA.names if name not in table.column_names]:
        raise BadInput(
            f"{path}: lacks the columns {', '.join(missing)}; "
            "make it again with `ambiemo data import`"
        )
    manifest = manifest_path(path)
    if manifest.exists():
        try:
            named = json.loads(manifest.read_text(encoding="utf-8"))["parquet_sha256"]
        except (ValueError, KeyError, OSError) as error:
            raise BadInput(
                f"{manifest}: cannot be read as a manifest ({error}); import again"
            ) from error
        if named != sha256(data):
            raise BadInput(
                f"{path}: is not the file that {manifest.name} describes (another SHA-256); "
                "import again"
            )
    return table


def describe(
    table: pa.Table, rule: str = "bits", thresholds: Mapping[str, float] | None = None
) -> Description:
    """The numbers of a table that `ambiemo data describe` prints.

    Entropies are in bits, over rows with votes only. Acted rows are "clear-cut" under every rule.
    Raises BadInput for an unknown rule or threshold.
    """
    label_set, votes = votes_of(table)
    acted = np.array(pc.equal(table.column("truth_source"), "acted").to_pylist(), dtype=bool)
    unit = vote_unit(table)
    counts = votes / unit
    judged = ~acted & (votes.sum(axis=1) > 0) if len(votes) else acted
    try:
        levels = of.ambiguity_levels(votes, rule, acted=acted, **dict(thresholds or {}))
    except ValueError as error:
        raise BadInput(str(error)) from error
    per_utterance = counts[judged].sum(axis=1)
    raw = of.entropy_bits(of.truth(counts[judged]))
    corrected = of.miller_madow_bits(counts[judged])
    settings = {**of.AMBIGUITY_RULES[rule].thresholds, **(thresholds or {})}
    return {
        "corpus": sorted(set(table.column("corpus").to_pylist())),
        "utterances": len(table),
        "with_votes": int(judged.sum()),
        "acted_without_votes": int(acted.sum()),
        "with_audio": _filled(table, "audio_path"),
        "seconds": round(float(pc.sum(table.column("duration_s")).as_py() or 0.0), 3),
        "speakers": len(pc.unique(table.column("speaker"))),
        "clusters": len(pc.unique(table.column("cluster"))),
        "splits": _tally(table.column("split").to_pylist()),
        "labels": list(label_set),
        "votes": _whole(counts[judged].sum()),
        "out_of_set_votes": _whole(
            float(pc.sum(table.column("out_of_set_votes")).as_py() or 0) / unit
        ),
        "votes_per_label": {
            name: _whole(counts[judged][:, k].sum()) for k, name in enumerate(label_set)
        },
        "acted_per_label": {name: int(votes[acted][:, k].sum()) for k, name in enumerate(label_set)}
        if acted.any()
        else {},
        "votes_per_utterance": _spread(per_utterance, ("min", "median", "max")),
        "few_votes": int((per_utterance < FEW).sum()),
        "unanimous": int(of.unanimous(votes[judged]).sum()),
        "plurality_ties": int(of.plurality_tied(votes[judged]).sum()),
        "intended_is_unique_plurality": _intended(table, label_set, votes, judged),
        "entropy_bits": _spread(raw, ("mean", "median", "p75", "p90", "max")),
        "entropy_bits_miller_madow": _spread(corrected, ("mean", "median", "p75", "p90", "max")),
        "recognised_share": _spread(_present(table, "recognised_share"), ("min", "mean", "max")),
        "rule": rule,
        "thresholds": settings,
        "rule_source": of.AMBIGUITY_RULES[rule].source,
        "levels": {name: int((levels == name).sum()) for name in (*of.LEVELS, of.CLEAR_CUT)},
        "supports_ambiguity_claims": bool(judged.any()),
    }


def facts(description: Description) -> Facts:
    """A description for people, one fact per line."""
    d = description
    out = [
        ("corpus", ", ".join(d["corpus"])),
        (
            "utterances",
            f"{d['utterances']:,} ({d['with_votes']:,} with votes, "
            f"{d['with_audio']:,} with audio{_seconds(d['seconds'])})",
        ),
        ("speakers", f"{d['speakers']:,} in {d['clusters']:,} clusters"),
        ("splits", _pairs(d["splits"])),
    ]
    if d["with_votes"]:
        out += [
            (
                "votes",
                f"{d['votes']:,} ({d['out_of_set_votes']:,} more for labels outside the set)",
            ),
            ("votes per label", _pairs(d["votes_per_label"])),
            (
                "votes per utterance",
                f"{_pairs(d['votes_per_utterance'])}; "
                f"{d['few_votes']:,} utterances have fewer than {FEW}",
            ),
            ("unanimous", f"{d['unanimous']:,}"),
            ("plurality ties", f"{d['plurality_ties']:,}"),
            ("entropy, bits", _pairs(d["entropy_bits"])),
            (
                "  Miller-Madow",
                f"{_pairs(d['entropy_bits_miller_madow'])} (corrected for few raters)",
            ),
        ]
        if d["intended_is_unique_plurality"] is not None:
            share = d["intended_is_unique_plurality"] / d["with_votes"]
            text = f"{d['intended_is_unique_plurality']:,} ({share:.1%}): intended is not the truth"
            out.append(("intended = plurality", text))
    if d["acted_without_votes"]:
        out += [
            ("acted labels", _pairs(d["acted_per_label"])),
            (
                "no votes",
                f"{d['acted_without_votes']:,} utterances have one acted label and no votes: truth "
                "is one-hot, the level clear-cut, and no claim about ambiguity can rest on them",
            ),
        ]
    if d["recognised_share"]:
        text = f"{_pairs(d['recognised_share'])} (of listeners; a share, not a distribution)"
        out.append(("recognised share", text))
    settings = f" {_pairs(d['thresholds'])}" if d["thresholds"] else ""
    rule = f"{_pairs(d['levels'])} (rule {d['rule']}{settings}: {d['rule_source']})"
    return Facts("", (*out, ("ambiguity levels", rule)), indent=0)


def _intended(
    table: pa.Table, label_set: tuple[str, ...], votes: np.ndarray, judged: np.ndarray
) -> int | None:
    intended = table.column("intended_label").to_pylist()
    if not any(intended):
        return None
    unique = judged & ~of.plurality_tied(votes)
    winner = votes.argmax(axis=1)
    return sum(bool(unique[i]) and label_set[winner[i]] == name for i, name in enumerate(intended))


def _spread(values: np.ndarray, names: tuple[str, ...]) -> dict[str, float]:
    if not len(values):
        return {}
    every = {
        "min": values.min(),
        "mean": values.mean(),
        "median": np.median(values),
        "p75": np.percentile(values, 75),
        "p90": np.percentile(values, 90),
        "max": values.max(),
    }
    return {name: _whole(round(float(every[name]), 6)) for name in names}


def _whole(value: float) -> float | int:
    return int(value) if float(value).is_integer() else round(float(value), 6)


def _filled(table: pa.Table, column: str) -> int:
    return int(pc.sum(pc.not_equal(table.column(column), "")).as_py() or 0)


def _present(table: pa.Table, column: str) -> np.ndarray:
    return table.column(column).drop_null().to_numpy()


def _tally(values: list[str]) -> dict[str, int]:
    return {name: values.count(name) for name in sorted(set(values))}


def _pairs(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {_shown(value)}" for name, value in values.items())


def _shown(value: float | int) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.3f}"


def _seconds(seconds: float) -> str:
    return (
        f", {seconds / 3600:.2f} h" if seconds >= 3600 else f", {seconds:.1f} s" if seconds else ""
    )
