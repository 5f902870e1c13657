#!/usr/bin/env python3
"""Check the numbers of this bundle without the package that made it: Python's standard library only, one file.

    python3 data/verify.py            exit 0: they agree; 1: something does not; 2: the bundle cannot be read

Written from docs/metrics.md and docs/bundle.md, not from the package's code, of which it imports nothing. It makes again
  - every prediction, from the text of the answers and scores, where the answer is one plain JSON object,
  - counts and values (no intervals) of tables/results.csv, and differences and counts of tables/paired.csv and tables/heard.csv.
Before that it asks whether all that the plan asks for is there, once: cells, utterances, draws, candidates and scores.
It says how many predictions it had to take as given: those resting on an answer that needed mending (near-JSON, prose), and those
of the shuffled-audio control where the prediction does not say whose clip was heard. Intervals, p values and the files' exact
bytes are for `ambiemo verify`; checksums are for `sha256sum -c` (README.md beside this file).
"""

# ruff: noqa: B905 (zip's `strict` is newer than the oldest Python this should run on)
from __future__ import annotations

import csv
import gzip
import json
import math
import re
import sys
from pathlib import Path
from typing import Any

# name: (prompt, decoding, candidates, what scores a candidate, what makes one prediction of them)
STRATEGIES = {
    "greedy": ("direct", "greedy", 1, "", "only"),
    "cot": ("cot", "greedy", 1, "", "only"),
    "bon": ("direct", "beam", 5, "likelihood", "best"),
    "w_bon": ("direct", "beam", 5, "likelihood", "mixture"),
    "w_bon_mean": ("direct", "beam", 5, "mean_likelihood", "mixture"),
    "alm_v": ("direct", "beam", 3, "verifier", "best"),
    "w_alm_v": ("direct", "beam", 3, "verifier", "mixture"),
    "majority_vote": ("direct", "sample", 8, "", "votes"),
    "self_consistency": ("cot", "sample", 8, "", "votes"),
    "label_logprobs": ("label", "forced", 0, "likelihood", "mean"),  # 0: a candidate for each label
}
ALIASES = ("anger angry", "disgust disgusted", "fear fearful", "happy happiness", "sad sadness", "surprise surprised",
           "neutral neutrality")  # fmt: skip
SAME = 1e-9  # closer probabilities are equal: top labels, constant rows, edges of bins
TABLE = 0.5e-6 + 1e-9  # a table has six decimals
SHARE = (
    0.5e-8 + 1e-10
)  # a prediction's share has nine significant digits: so much of it may be rounding
BITS = 0.5e-9 + 1e-10  # a prediction's entropies have nine decimals
PAIRED = ("js_divergence_bits", "bhattacharyya", "brier", "accuracy")
CANNOT_TELL = object()  # an answer that this file does not read: it needs mending


class Unreadable(Exception):
    """The bundle cannot be judged: one line that says why."""


# --- reading the files -----------------------------------------------------------------------------------------------


def text_of(path):
    try:
        data = path.read_bytes()
        return (gzip.decompress(data) if path.suffix == ".gz" else data).decode("utf-8")
    except (OSError, EOFError, ValueError) as error:
        raise Unreadable(f"{path}: cannot be read: {error}") from error


def once(pairs):
    made = dict(pairs)
    if len(made) < len(pairs):
        raise Disagreement(
            f"found a key twice among {[key for key, _ in pairs]}, expected each once"
        )
    return made


def finite(text):
    if not math.isfinite(float(text)):
        raise Disagreement(f"found the number {text}, expected a finite one")
    return float(text)


def rows_of(path, whole=False):
    """JSON lines (or one whole document), where no key stands twice and every number is finite."""
    try:
        parts = [text_of(path)] if whole else text_of(path).split("\n")
        return [
            json.loads(p, object_pairs_hook=once, parse_constant=finite, parse_float=finite)
            for p in parts
            if p
        ]
    except Disagreement as error:
        raise Disagreement(f"{path}: {error}") from error
    except ValueError as error:
        raise Unreadable(f"{path}: no JSON lines: {error}") from error


def document_of(path):
    return rows_of(path, whole=True)[0]


def by_model_and_corpus(folder):
    return {
        (path.parent.name, path.name[: -len(".jsonl.gz")]): rows_of(path)
        for path in folder.glob("*/*.jsonl.gz")
    }


def scalar(text):
    if text[:1] in ("'", '"'):
        return json.loads(text) if text[0] == '"' else text[1:-1].replace("''", "'")
    if text in ("[]", "{}"):
        return json.loads(text)
    if text in ("null", "~", "", "true", "false"):
        return {"true": True, "false": False}.get(text)
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return text


def plan_of(text):
    """The plan, from the part of YAML that it is written in: nested maps and lists, a value a line, long texts folded."""
    lines = [
        (len(line) - len(line.lstrip()), line.strip()) for line in text.split("\n") if line.strip()
    ]

    def value(rest, at, indent):
        if rest:
            while at < len(lines) and lines[at][0] > indent:  # a folded text goes on
                rest, at = f"{rest} {lines[at][1]}", at + 1
            return scalar(rest), at
        if at < len(lines) and (
            lines[at][0] > indent or (lines[at][0] == indent and lines[at][1].startswith("- "))
        ):
            return block(at)
        return None, at

    def block(at):
        indent, is_list = lines[at][0], lines[at][1].startswith("- ")
        made: Any = [] if is_list else {}
        while (
            at < len(lines) and lines[at][0] == indent and lines[at][1].startswith("- ") == is_list
        ):
            said = lines[at][1]
            if is_list and re.match(r"- [\w.-]+:( |$)", said):
                lines[at] = (indent + 2, said[2:])  # a map that begins on the dash's line
                item, at = block(at)
                made.append(item)
            elif is_list:
                item, at = value(said[2:], at + 1, indent)
                made.append(item)
            else:
                key, _, rest = said.partition(":")
                made[key], at = value(rest.strip(), at + 1, indent)
        return made, at

    return block(0)[0]


# --- from an answer's text to a distribution -------------------------------------------------------------------------


def last_object(text):
    """The JSON object that ends the text (a code fence may close after it) as pairs, or None."""
    found = re.search(r"(\{[^{}]*\})\s*(?:```)?\s*$", text)
    if not found:
        return None
    try:
        return json.loads(found.group(1), object_pairs_hook=list)
    except ValueError:
        return None


def is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def read_distribution(row, labels):
    """Shares in the order of the labels, None for an answer without any, CANNOT_TELL for one that needs mending."""
    if row["decoding"]["kind"] == "forced":  # nothing was generated: the candidate is a label
        if row["text"] not in labels or row["verdict"] != "exact":
            raise Disagreement(
                f"a forced answer reads {row['text'][:40]!r}, verdict {row['verdict']!r}: no label"
            )
        return [float(label == row["text"]) for label in labels]
    pairs = last_object(row["text"])
    names = {label.casefold(): label for label in labels}
    for forms in map(str.split, ALIASES):
        owners = [label for label in labels if label.casefold() in forms]
        if len(owners) == 1:
            names.update(dict.fromkeys(forms, owners[0]))
    shares: dict = {}
    if pairs is not None:
        for key, value in pairs:
            label = names.get(key.casefold())
            if (
                label is None
                or not is_number(value)
                or value < 0
                or shares.get(label, value) != value
            ):
                break
            shares[label] = value
        else:
            if set(shares) == set(labels) and 0 < max(shares.values()) < 1e300:
                values = [shares[label] for label in labels]
                total = math.fsum(values)
                plain = sorted(key for key, _ in pairs) == sorted(labels)
                exact = plain and abs(total - 1) <= 0.005 * len(labels) + 1e-9
                if exact != (row["verdict"] == "exact"):
                    raise Disagreement(
                        f"an answer's verdict is {row['verdict']!r} but it reads {row['text'][-200:]!r}"
                    )
                return [value / total for value in values]
    if row["verdict"] == "exact":
        raise Disagreement(f"an answer's verdict is 'exact' but it reads {row['text'][-200:]!r}")
    return None if row["verdict"] == "unparsed" else CANNOT_TELL


def read_score(row):
    """The verifier's score from 0 to 10, None where it gave none, CANNOT_TELL where the answer needs mending."""
    if row is None or row.get("failure"):
        return None
    pairs = last_object(row["text"])
    if pairs and [key for key, _ in pairs] == ["score"] and is_number(pairs[0][1]):
        return float(pairs[0][1]) if 0 <= pairs[0][1] <= 10 else None
    return None if row["verdict"] == "unparsed" else CANNOT_TELL


class Disagreement(Exception):
    """Two parts of the bundle contradict each other."""


# --- from candidates to one prediction -------------------------------------------------------------------------------


def mean_of(rows, weights):
    mean = [math.fsum(w * row[k] for w, row in zip(weights, rows)) for k in range(len(rows[0]))]
    total = math.fsum(mean)
    return [value / total for value in mean]


def digamma(x):
    """Recurrence up to 20, then the asymptotic series."""
    shift = 0.0
    while x < 20:
        shift, x = shift - 1 / x, x + 1
    y = 1 / (x * x)
    series = y * (1 / 12 - y * (1 / 120 - y * (1 / 252 - y * (1 / 240 - y / 132))))
    return shift + math.log(x) - 0.5 / x - series


def predict(scorer, aggregator, candidates, plan):
    """(distribution or None, entropies in bits or None, unscored) of candidates (distribution, likelihood, tokens, score)."""
    parsed = [candidate for candidate in candidates if candidate[0] is not None]
    value_of = {
        "": lambda candidate: 1.0,
        "likelihood": lambda candidate: candidate[1],
        "mean_likelihood": lambda candidate: (
            None if candidate[1] is None else candidate[1] / max(candidate[2], 1)
        ),
        "verifier": lambda candidate: candidate[3],
    }[scorer]
    scored = [
        (candidate[0], value_of(candidate))
        for candidate in parsed
        if value_of(candidate) is not None
    ]
    unscored = len(parsed) - len(scored)
    if not scored:
        return None, None, unscored
    rows, values = [row for row, _ in scored], [value for _, value in scored]
    if aggregator == "votes":
        rows = [[(share == max(row)) / row.count(max(row)) for share in row] for row in rows]
    if aggregator == "best":
        rows = [row for row, value in scored if value == max(values)]
    if aggregator == "mean":
        weights = [math.exp(value - max(values)) for value in values]
        return mean_of(rows, [weight / math.fsum(weights) for weight in weights]), None, unscored
    if aggregator != "mixture":
        return mean_of(rows, [1 / len(rows)] * len(rows)), None, unscored
    if scorer == "verifier":
        weights = values if sum(values) > 0 else [1.0] * len(values)
    else:
        weights = [math.exp((value - max(values)) / plan["weights"]["tau"]) for value in values]
    total = math.fsum(weights)
    kept = [(weight / total, row) for weight, row in zip(weights, rows) if weight > 0]
    c, epsilon = plan["dirichlet"]["concentration"], plan["dirichlet"]["epsilon"]
    means, bits = [], []
    for _, row in kept:
        alpha = [c * share + epsilon for share in row]
        whole = sum(alpha)
        means.append([a / whole for a in alpha])
        bits.append(
            (digamma(whole + 1) - sum(a / whole * digamma(a + 1) for a in alpha)) / math.log(2)
        )
    weights = [weight for weight, _ in kept]
    mean, expected = mean_of(means, weights), math.fsum(w * b for w, b in zip(weights, bits))
    own = math.fsum(w * entropy(m) for w, m in zip(weights, means))
    parts = {
        "expected_bits": expected,
        "spread_bits": own - expected,
        "disagreement_bits": entropy(mean) - own,
    }
    return mean, parts, unscored


# --- votes, levels, metrics ------------------------------------------------------------------------------------------


def truth_of(votes):
    total = sum(votes)
    return [vote / total for vote in votes] if total else None


def entropy(shares):
    return -math.fsum(share * math.log2(share) for share in shares if share > 0)


def thirds(values):
    """Third of the corpus by rank; equal values take the third that holds the middle of their ranks."""
    ranked = sorted(values)
    start = {value: ranked.index(value) for value in set(values)}
    middle = {value: 2 * start[value] + ranked.count(value) for value in start}
    return [min(3 * middle[value] // (2 * len(values)), 2) for value in values]


def levels_of(utterances, rule, thresholds):
    """Ambiguity level of each utterance: low, medium, high; clear-cut where the truth is an acted label."""
    judged = [
        u for u in utterances if u.get("truth_source", "votes") != "acted" and sum(u["votes"])
    ]
    truths = [truth_of(u["votes"]) for u in judged]
    if rule == "bits":
        edges = thresholds["medium_from"], thresholds["high_from"]
        order = [sum(round(entropy(truth), 9) >= edge for edge in edges) for truth in truths]
    elif rule == "2409.18339":
        found = [round(entropy([round(share, 2) for share in truth]), 4) for truth in truths]
        order = [(value > 0) + (value > 0.9149) for value in found]
    elif rule == "tertiles":
        order = thirds([round(entropy(truth), 9) for truth in truths])
    elif rule == "2601.14620":
        seen = [sum(vote > 0 for vote in u["votes"]) for u in judged]
        order = thirds(
            [round(entropy(t) / (math.log2(m) if m > 1 else 1), 9) for t, m in zip(truths, seen)]
        )
    else:
        raise Unreadable(f"config/plan.yaml: ambiguity rule {rule!r}: not known to this file")
    names = {u["id"]: ("low", "medium", "high")[place] for u, place in zip(judged, order)}
    return {
        u["id"]: names.get(u["id"], "clear-cut" if u.get("truth_source") == "acted" else "")
        for u in utterances
    }


def top_of(shares):
    """The win of one utterance, shared by labels within 1e-9 of the largest."""
    winners = [share >= max(shares) - SAME for share in shares]
    return [winner / sum(winners) for winner in winners]


def average(values):
    values = [value for value in values if value is not None]
    return math.fsum(values) / len(values) if values else math.nan


def divergence(t, p):
    """Jensen-Shannon, nats, never below 0."""
    half = [(a + b) / 2 for a, b in zip(t, p)]
    return max(0.0, math.log(2) * (entropy(half) - (entropy(t) + entropy(p)) / 2))


def pearson_squared(t, p):
    if max(t) - min(t) <= SAME or max(p) - min(p) <= SAME:
        return None
    a, b = [x - sum(t) / len(t) for x in t], [y - sum(p) / len(p) for y in p]
    spread = sum(x * x for x in a) * sum(y * y for y in b)
    return min(1.0, sum(x * y for x, y in zip(a, b)) ** 2 / spread)


def relative_entropy(t, p):
    if any(a > 0 and b <= 0 for a, b in zip(t, p)):
        return math.inf
    return math.fsum(a * math.log(a / b) for a, b in zip(t, p) if a > 0)


def determination(truths, predictions):
    n, found = len(truths), []
    for t, p in zip(zip(*truths), zip(*predictions)):
        middle = math.fsum(t) / n
        around = math.fsum((x - middle) ** 2 for x in t)
        if around > 1e-12 * n:
            found.append(1 - math.fsum((x - y) ** 2 for x, y in zip(t, p)) / around)
    return average(found)


def calibration(pairs, bins):
    """Expected calibration error: bins (low, high], a confidence within 1e-9 above an edge belongs below it."""
    inside: dict = {}
    for confidence, correct in pairs:
        inside.setdefault(max(0, math.ceil((confidence - SAME) * bins) - 1), []).append(
            confidence - correct
        )
    return math.fsum(abs(math.fsum(gaps)) for gaps in inside.values()) / len(pairs)


def metrics(truths, predictions):
    """The thirteen metrics of docs/metrics.md; NaN where one is not estimable."""
    if not truths:
        return {}
    both, n, labels = list(zip(truths, predictions)), len(truths), range(len(truths[0]))
    tops = [(top_of(t), top_of(p)) for t, p in both]
    right = [math.fsum(a * b for a, b in zip(t, p)) for t, p in tops]
    sure = [(max(p), hit) for (_, p), hit in zip(both, right)]
    hits = [math.fsum(t[k] * p[k] for t, p in tops) for k in labels]
    true = [math.fsum(t[k] for t, _ in tops) for k in labels]
    said = [math.fsum(p[k] for _, p in tops) for k in labels]
    f1 = [2 * hits[k] / (true[k] + said[k]) if true[k] + said[k] > 0 else None for k in labels]
    return {
        "js_divergence_bits": average(divergence(t, p) / math.log(2) for t, p in both),
        "js_distance_nats": average(math.sqrt(divergence(t, p)) for t, p in both),
        "bhattacharyya": average(
            math.fsum(math.sqrt(a * b) for a, b in zip(t, p)) for t, p in both
        ),
        "r2_pearson": average(pearson_squared(t, p) for t, p in both),
        "r2_determination": determination(truths, predictions),
        "ece_5": calibration(sure, 5),
        "ece_10": calibration(sure, 10),
        "accuracy": average(right),
        "macro_f1": average(f1),
        "weighted_f1": math.fsum(true[k] * (f1[k] or 0.0) for k in labels) / n,
        "uar": average(hits[k] / true[k] if true[k] > 0 else None for k in labels),
        "brier": average(math.fsum((a - b) ** 2 for a, b in zip(t, p)) for t, p in both),
        "kl_nats": average(relative_entropy(t, p) for t, p in both),
    }


# --- the bundle ------------------------------------------------------------------------------------------------------


class Bundle:
    """Everything that the numbers rest on, and what was found wrong."""

    def __init__(self, data):
        self.data = data
        self.plan = plan_of(text_of(data / "config" / "plan.yaml"))
        self.labels = document_of(data / "inputs" / "labels.json")
        self.cells = rows_of(data / "config" / "cells.jsonl")
        self.utterances: dict = {corpus: [] for corpus in self.labels}
        for row in rows_of(data / "inputs" / "utterances.jsonl"):
            self.utterances[row["corpus"]].append(row)
        self.answers = by_model_and_corpus(data / "answers")
        self.scores = by_model_and_corpus(data / "scores")
        self.predictions = by_model_and_corpus(data / "predictions")
        self.strategies = dict(map(self.strategy, self.plan["strategies"]))
        self.wrong = []

    @staticmethod
    def strategy(entry):
        prompt, decoding, count, scorer, aggregator = STRATEGIES[entry["base"] or entry["name"]]
        chosen = (
            prompt,
            entry["decoding"] or decoding,
            entry["count"] or count,
            scorer,
            aggregator,
        )
        return entry["name"], chosen

    def check(self, where, found, expected, within):
        """Note a difference between a number (or text) of the bundle and the one made here."""
        numbers = [value for value in (found, expected) if isinstance(value, float)]
        if len(numbers) == 2 and all(map(math.isfinite, numbers)):
            agrees = abs(found - expected) <= within
        else:
            agrees = found == expected or all(value != value for value in (found, expected))
        if not agrees:
            self.wrong.append(f"{where}: found {found}, expected {expected}")
        return agrees


def check_json(bundle):
    """What the numbers do not rest on is JSON, too, that every reader takes alike."""
    for path in sorted(bundle.data.rglob("*.json")):
        document_of(path)


def check_cells(bundle):
    """The cells are the plan's, each once, skipped only for what the model cannot do or what run.json says was missing."""
    run, models, judges = (
        document_of(bundle.data / f"{name}.json")
        for name in ("config/run", "inputs/models", "inputs/judges")
    )
    missing = {(item["kind"], item["id"]) for item in run["missing"]}
    needs = {"beam": {"beam"}, "sample": {"sampling"}, "forced": {"label_logprobs"}}

    def able(model):
        lacks = {"beam", "label_logprobs"} if models[model]["engine"] == "openai" else set()
        return set(models[model]["capabilities"]) - lacks

    def excused(model, corpus, strategy):
        _, decoding, count, scorer, _ = bundle.strategies[strategy]
        verified, judge = scorer == "verifier", judges[model]
        wanted = needs.get(decoding, set()) | (
            {"likelihood"} if scorer.endswith("likelihood") else set()
        )
        too_wide = decoding == "beam" and count > 16 and models[model]["engine"] == "vllm"
        cannot = wanted - able(model) or too_wide or (verified and "verifier" not in able(judge))
        gone = {("model", model), ("corpus", corpus)} | (
            {("model", judge), ("verifier", judge)} if verified else set()
        )
        return bool(cannot or gone & missing)

    controls = [{"name": "none", "strategies": list(bundle.strategies)}, *bundle.plan["controls"]]
    wanted = {
        (model["id"], corpus["id"], strategy, control["name"])
        for model in bundle.plan["models"]
        for corpus in bundle.plan["corpora"]
        for control in controls
        for strategy in control["strategies"]
    }
    seen = set()
    for number, cell in enumerate(bundle.cells, 1):
        name = (cell["model"], cell["corpus"], cell["strategy"], cell["control"])
        where = f"config/cells.jsonl: row {number} ({' '.join(name)})"
        if name in seen:
            bundle.wrong.append(f"{where}: found the cell twice, expected once")
        elif name not in wanted and not cell["skipped"]:
            bundle.wrong.append(
                f"{where}: found a cell that the plan does not ask for, expected none"
            )
        elif name in wanted:
            bundle.check(f"{where}: is it skipped?", bool(cell["skipped"]), excused(*name[:3]), 0)
        seen.add(name)
    for name in sorted(wanted - seen):
        bundle.wrong.append(f"config/cells.jsonl: found no row for {' '.join(name)}, expected one")


def check_utterances(bundle):
    """Ids differ, and utterances are as many as plan, run and loader say."""
    run, described = (
        document_of(bundle.data / f"{name}.json") for name in ("config/run", "inputs/corpora")
    )
    missing = {item["id"] for item in run["missing"] if item["kind"] == "corpus"}
    entries = {entry["id"]: entry for entry in bundle.plan["corpora"] if entry["id"] not in missing}
    bundle.check("inputs/labels.json: corpora", sorted(bundle.labels), sorted(entries), 0)
    bundle.check("inputs/corpora.json: corpora", sorted(described), sorted(entries), 0)
    for name in sorted(set(bundle.labels) & set(entries) & set(described)):
        where, counts, expect = (
            f"inputs/utterances.jsonl: corpus {name}",
            described[name]["counts"],
            entries[name]["expect"],
        )
        ids = [u["id"] for u in bundle.utterances[name]]
        bundle.check(f"{where}: ids that differ", len(set(ids)), len(ids), 0)
        whole = counts.get("utterances", expect)
        if expect is not None:
            bundle.check(f"inputs/corpora.json: corpus {name}: utterances", whole, expect, 0)
        told = [whole - counts.get("no_vote_in_label_set", 0)] if whole is not None else []
        told += [limit for limit in (entries[name]["limit"], run["limit"]) if limit is not None]
        if told:
            bundle.check(
                f"{where}: utterances",
                len(ids),
                min(told) if whole is not None else min([len(ids), *told]),
                0,
            )


def check_answers(bundle):
    """Each question of a cell has, for each clip, one failure or candidates 0 to k - 1, and each judged candidate one score."""
    asked: dict = {}
    for cell in bundle.cells:
        if not cell["skipped"]:
            _, _, count, scorer, _ = bundle.strategies[cell["strategy"]]
            questions = asked.setdefault((cell["model"], cell["corpus"]), {})
            question = question_of(bundle, cell)
            questions[question] = max(
                questions.get(question, 0), count if scorer == "verifier" else 0
            )
    for model, corpus in sorted({*asked, *bundle.answers, *bundle.scores}):
        name, questions = f"{model}/{corpus}.jsonl.gz", asked.get((model, corpus), {})
        draws: dict = {}
        owners = {(u["id"], u["audio_sha256"]) for u in bundle.utterances[corpus]}
        for number, row in enumerate(bundle.answers.get((model, corpus), []), 1):
            where = f"answers/{name}: row {number} ({row['utterance_id']})"
            check_row(bundle, where, row, owners)
            question = (
                row["prompt_id"],
                row["decoding"]["kind"],
                row["decoding"]["count"],
                row["audio"],
            )
            draws.setdefault((question, row["audio_sha256"]), []).append((where, row))
        for question in questions:
            for clip in sorted({clip for _, clip in owners}):
                if (question, clip) not in draws:
                    bundle.wrong.append(
                        f"answers/{name}: found no answer to {question} about clip {clip}, expected one"
                    )
        judged = set()
        for (question, _), told in draws.items():
            where, failed = told[0][0], bool(told[0][1].get("failure"))
            if question not in questions:
                bundle.wrong.append(
                    f"{where}: found an answer to {question}, expected none: no cell asks that"
                )
                continue
            found = [row["index"] for _, row in told]
            bundle.check(
                f"{where}: candidates of its draw",
                found,
                [None] if failed else list(range(question[2])),
                0,
            )
            judged |= {
                f"{row['draw']}#{row['index']}"
                for _, row in told[: questions[question]]
                if not failed
            }
        for number, row in enumerate(bundle.scores.get((model, corpus), []), 1):
            where = f"scores/{name}: row {number} ({row['utterance_id']})"
            check_row(bundle, where, row, owners)
            if row["about"] not in judged:
                bundle.wrong.append(
                    f"{where}: found a score of {row['about']}, expected none, or only one"
                )
            judged.discard(row["about"])
            if not row.get("failure") and (score := read_score(row)) is not CANNOT_TELL:
                bundle.check(f"{where}: key score", row["score"], score, 0)
        bundle.wrong += [
            f"scores/{name}: found no row about {about}, expected one" for about in sorted(judged)
        ]


def check_row(bundle, where, row, owners):
    if (row["utterance_id"], row["audio_sha256"]) not in owners:
        bundle.wrong.append(
            f"{where}: found clip {row['audio_sha256']}, expected one of this id in inputs/utterances.jsonl"
        )
    sure = row.get("log_likelihood")
    if sure is not None and not (is_number(sure) and sure <= 1e-6):  # a sum of log-probabilities
        bundle.wrong.append(
            f"{where}: key log_likelihood: found {sure!r}, expected null or a number up to 0"
        )


def check_predictions(bundle):
    """Make every prediction again; returns how many were made and how many had to be taken as given."""
    made = given = 0
    expected = {}
    for cell in bundle.cells:
        if not cell["skipped"]:
            expected.update(predictions_of_cell(bundle, cell))
    for corpus, utterances in bundle.utterances.items():
        expected.update(baselines(bundle, corpus, utterances))
    for (model, corpus), rows in sorted(bundle.predictions.items()):
        for row in rows:
            name = (model, corpus, row["strategy"], row["control"], row["utterance_id"])
            where = f"predictions/{model}/{corpus}.jsonl.gz: {row['strategy']} {row['control']} {row['utterance_id']}"
            if name not in expected:
                bundle.wrong.append(f"{where}: a prediction that nothing asks for, or twice")
            elif (ours := expected.pop(name)(row)) is CANNOT_TELL:
                given += 1
            else:
                made += 1
                compare_prediction(bundle, where, row, ours)
    alone = {corpus for corpus, utterances in bundle.utterances.items() if len(utterances) < 2}
    for name in expected:
        if (
            name[3] != "shuffled_audio" or name[1] not in alone
        ):  # one utterance alone has no other's clip
            bundle.wrong.append(f"predictions: {' '.join(name)}: missing")
    return made, given


def check_shuffling(bundle):
    """Under shuffled audio every utterance hears another's clip, and every clip is heard once."""
    heard: dict = {}
    for (model, corpus), rows in bundle.predictions.items():
        for row in rows:
            if row["control"] == "shuffled_audio" and "heard" in row:
                heard.setdefault((model, corpus, row["strategy"]), []).append(
                    (row["utterance_id"], row["heard"])
                )
    for (model, corpus, strategy), pairs in heard.items():
        where = f"predictions/{model}/{corpus}.jsonl.gz: {strategy} shuffled_audio"
        if sorted(one for one, _ in pairs) != sorted(other for _, other in pairs):
            bundle.wrong.append(
                f"{where}: found a clip that is heard twice or never, expected each once"
            )
        bundle.wrong += [
            f"{where} {one}: hears its own clip" for one, other in pairs if one == other
        ]


def compare_prediction(bundle, where, row, ours):
    distribution, bits, counts = ours
    for key, value in counts.items():
        bundle.check(f"{where}, {key}", row[key], value, 0)
    if (row["distribution"] is None) != (distribution is None):
        bundle.check(f"{where}, distribution", row["distribution"], distribution, 0)
    elif distribution is not None:
        bundle.check(f"{where}, shares", len(row["distribution"]), len(distribution), 0)
        for label, found, share in zip(
            bundle.labels[row["corpus"]], row["distribution"], distribution
        ):
            bundle.check(f"{where}, {label}", float(found), share, SHARE * share)
    for key, value in (bits or {}).items():
        bundle.check(f"{where}, {key}", row[key], value, BITS)


def question_of(bundle, cell):
    """What the draws of a cell were asked: prompt, decoding, how many candidates, and what was heard."""
    prompt, decoding, drawn, _, _ = bundle.strategies[cell["strategy"]]
    if (
        decoding == "sample"
    ):  # samples are nested: strategies that ask the same share the largest number
        alike = [bundle.strategies[c["strategy"]] for c in bundle.cells
                 if not c["skipped"] and (c["model"], c["corpus"]) == (cell["model"], cell["corpus"])]  # fmt: skip
        drawn = max(n for asked, way, n, _, _ in alike if (asked, way) == (prompt, "sample"))
    if decoding == "forced":
        drawn = len(bundle.labels[cell["corpus"]])
    return prompt, decoding, drawn, "silence" if cell["control"] == "silence" else "clip"


def predictions_of_cell(bundle, cell):
    """(name, what makes the prediction once its row says whose clip was heard) for every utterance of a cell."""
    model, corpus, control = cell["model"], cell["corpus"], cell["control"]
    _, _, count, scorer, aggregator = bundle.strategies[cell["strategy"]]
    question = question_of(bundle, cell)
    count = count or question[2]
    of_clip: dict = {}
    for row in bundle.answers.get((model, corpus), []):
        asked = (row["prompt_id"], row["decoding"]["kind"], row["decoding"]["count"], row["audio"])
        if asked == question and row["index"] is not None:
            of_clip.setdefault(row["audio_sha256"], []).append(row)
    scores = (
        {row["about"]: row for row in bundle.scores.get((model, corpus), [])}
        if scorer == "verifier"
        else {}
    )
    clips = {u["id"]: u["audio_sha256"] for u in bundle.utterances[corpus]}

    def make(told):
        heard = (
            told["utterance_id"] if control != "shuffled_audio" else told.get("heard", CANNOT_TELL)
        )
        if heard is CANNOT_TELL:
            return CANNOT_TELL
        rows = sorted(of_clip.get(clips[heard], []), key=lambda row: row["index"])[:count]
        candidates = [
            (read_distribution(row, bundle.labels[corpus]), row["log_likelihood"], row["tokens"],
             read_score(scores.get(f"{row['draw']}#{row['index']}")))
            for row in rows
        ]  # fmt: skip
        if any(part is CANNOT_TELL for candidate in candidates for part in candidate):
            return CANNOT_TELL
        distribution, bits, unscored = predict(scorer, aggregator, candidates, bundle.plan)
        unparsed = sum(candidate[0] is None for candidate in candidates)
        counts = {
            "candidates": len(rows),
            "unparsed": unparsed,
            "unscored": unscored if scorer else 0,
        }
        return distribution, bits, counts

    for utterance in clips:
        yield (model, corpus, cell["strategy"], control, utterance), make


def baselines(bundle, corpus, utterances):
    """Predictions that hear nothing: the same for every utterance of a corpus."""
    truths = [truth_of(u["votes"]) for u in utterances]
    mean = [math.fsum(column) / len(truths) for column in zip(*truths)]
    constant = {
        "uniform": [1 / len(mean)] * len(mean),
        "prior": mean,
        "prior_one_hot": top_of(mean),
    }
    for name in bundle.plan["baselines"]:
        for utterance in utterances:
            counts = {"candidates": 0, "unparsed": 0}
            key = ("baselines", corpus, name, "none", utterance["id"])
            yield key, lambda row, name=name, counts=counts: (constant[name], None, counts)


def columns(bundle):
    """Predictions by (corpus, model, strategy, control), then by utterance, each share over the sum of its rounded row."""
    found: dict = {}
    for (model, corpus), rows in bundle.predictions.items():
        for row in rows:
            shares = row["distribution"]
            if shares is not None:
                total = math.fsum(shares)
                row = {**row, "distribution": [share / total for share in shares]}
            found.setdefault((corpus, model, row["strategy"], row["control"]), {})[
                row["utterance_id"]
            ] = row
    return found


def table(bundle, name):
    return list(csv.DictReader(text_of(bundle.data / "tables" / name).splitlines()))


def compare_row(bundle, where, row, counts, values):
    for key, value in counts.items():
        bundle.check(f"{where}, column {key}", row[key], str(value), 0)
    for key, value in values.items():
        bundle.check(
            f"{where}, column {key}", float(row[key]) if row[key] else math.nan, value, TABLE
        )


def check_tables(bundle):
    """Counts, values and differences of the tables, from the predictions; returns how many numbers were made."""
    by_name, made = columns(bundle), 0
    people = {
        c: {u["id"]: u["speaker"] or u["cluster"] for u in all_of}
        for c, all_of in bundle.utterances.items()
    }
    truths = {
        c: {u["id"]: truth_of(u["votes"]) for u in all_of}
        for c, all_of in bundle.utterances.items()
    }
    rule = bundle.plan["ambiguity"]
    levels = {
        c: levels_of(all_of, rule["rule"], rule["thresholds"])
        for c, all_of in bundle.utterances.items()
    }

    def of_level(corpus, level):
        return [one for one in sorted(truths[corpus]) if level in ("all", levels[corpus][one])]

    def scored(name, ids):
        return [one for one in ids if by_name[name].get(one, {}).get("distribution") is not None]

    known: dict = {}

    def metrics_of(name, ids, filled=None):
        asked = (name, tuple(ids), filled is None)
        if asked not in known:
            shares = [by_name[name].get(one, {}).get("distribution") or filled for one in ids]
            known[asked] = metrics([truths[name[0]][one] for one in ids], shares)
        return known[asked]

    expected = {
        (*name, level)
        for name in by_name
        for level in ("all", "low", "medium", "high", "clear-cut")
        if level != "clear-cut" or of_level(name[0], level)
    }
    for line, row in enumerate(table(bundle, "results.csv"), start=2):
        name, level = (row["corpus"], row["model"], row["strategy"], row["control"]), row["level"]
        where = f"tables/results.csv, line {line}"
        if (*name, level) not in expected:
            bundle.wrong.append(f"{where}: a row that no prediction gives, or twice")
            continue
        expected.remove((*name, level))
        ids = of_level(name[0], level)
        have = scored(name, ids)
        told = [by_name[name][one] for one in ids if one in by_name[name]]
        counts = {
            "n": len(have),
            "failed": len(ids) - len(have),
            "candidates": sum(one["candidates"] for one in told),
            "unparsed": sum(one["unparsed"] for one in told),
            "unscored": sum(one["unscored"] for one in told),
            "speakers": len({people[name[0]][one] for one in have}),
            "r2_pearson_n": sum(
                pearson_squared(truths[name[0]][one], by_name[name][one]["distribution"])
                is not None
                for one in have
            ),
        }
        values = metrics_of(name, have) or dict.fromkeys(metrics([[1, 0]], [[1, 0]]), math.nan)
        uniform = [1 / len(bundle.labels[name[0]])] * len(bundle.labels[name[0]])
        filled = metrics_of(name, ids, uniform).get("js_divergence_bits", math.nan)
        values["js_divergence_bits_failed_as_uniform"] = filled
        compare_row(bundle, where, row, counts, values)
        made += len(counts) + len(values)
    bundle.wrong += [
        f"tables/results.csv: no row for {' '.join(name)}" for name in sorted(expected)
    ]

    for line, row in enumerate(table(bundle, "paired.csv"), start=2):
        where = f"tables/paired.csv, line {line}"
        a = (row["corpus"], row["model"], row["a"], row["a_control"])
        others = [
            (row["corpus"], model, row["b"], row["b_control"])
            for model in (row["model"], "baselines")
        ]
        b = next((name for name in others if name in by_name), None)
        if a not in by_name or b is None or row["metric"] not in PAIRED:
            bundle.wrong.append(f"{where}: a comparison that no predictions give")
            continue
        every = of_level(a[0], row["level"])
        ids = scored(b, scored(a, every))
        failed = {
            f"failed_{side}": len(every) - len(scored(name, every))
            for side, name in (("a", a), ("b", b))
        }
        counts = {"n": len(ids), **failed, "speakers": len({people[a[0]][one] for one in ids})}
        pair = [metrics_of(name, ids).get(row["metric"], math.nan) for name in (a, b)]
        compare_row(bundle, where, row, counts, {"difference": pair[0] - pair[1]})
        made += 5
    return made + check_heard(bundle, by_name, of_level, scored, metrics_of)


def check_heard(bundle, by_name, of_level, scored, metrics_of):
    """The table of controls: how much worse without the clip, and how many answers did not change."""
    expected = {name for name in by_name if name[3] != "none"}
    rows = table(bundle, "heard.csv") if expected else []
    for line, row in enumerate(rows, start=2):
        where = f"tables/heard.csv, line {line}"
        without = (row["corpus"], row["model"], row["strategy"], row["control"])
        if without not in expected:
            bundle.wrong.append(f"{where}: a control that no predictions give, or twice")
            continue
        expected.remove(without)
        clip = (*without[:3], "none")
        every = of_level(clip[0], "all")
        have = [set(scored(name, every)) for name in (clip, without)]
        ids = [one for one in every if one in have[0] & have[1]]
        js = [metrics_of(name, ids).get("js_divergence_bits", math.nan) for name in (clip, without)]
        pairs = [[by_name[name][one]["distribution"] for name in (clip, without)] for one in ids]
        same = average(float(max(abs(a - b) for a, b in zip(*pair)) <= SAME) for pair in pairs)
        values = dict(zip(("js_bits_with_clip", "js_bits_under_control"), js))
        counts = {
            "n": len(ids),
            "failed_clip": len(every) - len(have[0]),
            "failed_control": len(every) - len(have[1]),
        }
        compare_row(
            bundle, where, row, counts, values | {"difference": js[1] - js[0], "unchanged": same}
        )
        word = (
            "yes"
            if float(row["low"] or "nan") > 0
            else "no"
            if same == 1 and have[0] == have[1]
            else "not shown"
        )
        bundle.check(f"{where}, column heard", row["heard"], word, 0)
    bundle.wrong += [f"tables/heard.csv: no row for {' '.join(name)}" for name in sorted(expected)]
    return 7 * len(rows)


def broken(bundle):
    for line in bundle.wrong[:20]:
        print(f"  {line}")
    print(
        f"broken: {len(bundle.wrong)} differences"
        + (", the first 20 above" if len(bundle.wrong) > 20 else "")
    )
    return 1


def main(arguments):
    data = Path(arguments[0]) if arguments else Path(__file__).resolve().parent
    data = data / "data" if (data / "bagit.txt").exists() else data
    try:
        bundle = Bundle(data)
        for check in (check_json, check_cells, check_utterances, check_answers):
            check(bundle)
            if bundle.wrong:  # what the numbers rest on is not whole: they need not be made again
                return broken(bundle)
        check_shuffling(bundle)
        made, given = check_predictions(bundle)
        numbers = check_tables(bundle)
    except Unreadable as error:
        print(f"verify.py: {error}", file=sys.stderr)
        return 2
    except Exception as error:  # whatever a forged file sets off, it is the bundle that is broken and not the check
        print(
            f"broken: the files contradict each other or their documentation: {type(error).__name__}: {error}"
        )
        return 1
    print(
        f"{made} predictions made again from the answers, {given} taken as given (see the head of this file)"
    )
    print(
        f"{numbers} counts and values of tables/results.csv, paired.csv and heard.csv made again from the predictions"
    )
    if bundle.wrong:
        return broken(bundle)
    print("holds (intervals, p values and exact bytes were not checked: ambiemo verify does that)")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
