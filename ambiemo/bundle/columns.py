"""Every key of every row of a bundle's JSON-lines files, and what the other files hold.

`results.columns` does the same for the tables. docs/reference/columns.md is made from both, and a
test checks the rows of a whole bundle against them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from ambiemo.results.columns import CONTROL, CORPUS, MODEL, STRATEGY, Column, count, number, text


@dataclass(frozen=True)
class Rows:
    """A JSON-lines file: what one row is, its order, its keys, and keys that only some rows have."""

    rows: str
    order: str
    columns: tuple[Column, ...]
    some: tuple[Column, ...] = ()


UTTERANCE = text("utterance_id", "id of the utterance")
HEAD = (
    UTTERANCE,
    text("draw", "key of the draw: the SHA-256 of what was asked (docs/bundle.md)"),
    text("audio_sha256", "SHA-256 of the clip"),
    count("seed", "seed of the draw"),
)
ANSWER = (
    text("text", "the answer, verbatim"),
    count("tokens", "tokens of the answer"),
    number("log_likelihood", "sum of its tokens' log-probabilities; null where not known"),
    text("finish_reason", "`stop` or `length`"),
    text("verdict", "how it was read: `exact`, `repaired`, `partial` or `unparsed`"),
)
TAIL = (
    text("rendered_prompt_sha256", "SHA-256 of the prompt as the model got it"),
    count("prompt_tokens", "tokens of the prompt with its clip"),
    number("audio_s", "seconds of audio that the model heard"),
    Column("truncated", "flag", "whether the clip was cut to what the model hears"),
)
SOMETIMES = (
    text("failure", "why the draw failed; such a row has no `text` to `verdict`"),
    Column("served_model", "list", "the names that a server gave, where it gave any"),
)

FILES: Mapping[str, Rows] = MappingProxyType(
    {
        "config/cells.jsonl": Rows(
            "one cell of the plan",
            "model, corpus, control (none first), strategy, each in the plan's order",
            (
                MODEL,
                CORPUS,
                STRATEGY,
                CONTROL,
                text("skipped", "why the cell was skipped; empty if it was filled"),
                Column("cannot", "flag", "true if the model can never do it, whatever is here"),
            ),
        ),
        "config/questions.jsonl": Rows(
            "one question that the filled cells ask",
            "model, corpus, question",
            (
                MODEL,
                CORPUS,
                text("question", "its name: prompt, decoding with the number of candidates, audio"),
                text("prompt_id", "id of the prompt"),
                Column(
                    "decoding",
                    "object",
                    "object with `kind`, `count`, `temperature`, `top_p`, `max_tokens`",
                ),
                text("audio", "`clip` or `silence`"),
                Column("serves", "list", "list of the strategies that read the answers"),
                count("judged", "how many of the first candidates a verifier judges"),
            ),
        ),
        "inputs/utterances.jsonl": Rows(
            "one utterance; no audio",
            "corpus, id",
            (
                CORPUS,
                text("id", "id of the utterance"),
                text("speaker", "the speaker; empty where the owner names none"),
                text("cluster", "what intervals are clustered by"),
                text("audio_sha256", "SHA-256 of the clip"),
                number("duration_s", "length of the clip in seconds"),
                Column("votes", "list", "list of votes, in the order of `inputs/labels.json`"),
                text("truth_source", "`votes`, or `acted` for one acted label"),
            ),
        ),
        "answers/MODEL/CORPUS/QUESTION.jsonl.gz": Rows(
            "one candidate of a draw, or one failed draw",
            "utterance id, index",
            (
                *HEAD,
                count("index", "number of the candidate; null if the draw failed"),
                *ANSWER,
                *TAIL,
            ),
            SOMETIMES,
        ),
        "scores/MODEL/CORPUS/QUESTION.jsonl.gz": Rows(
            "what a verifier said of one candidate; only for questions with `judged` above 0",
            "utterance id, index",
            (
                *HEAD,
                count("index", "number of the judged candidate, also if the judgement failed"),
                *ANSWER,
                number("score", "the score that was read, 0 to 10; null if unparsed"),
                *TAIL,
            ),
            SOMETIMES,
        ),
        "predictions/MODEL/CORPUS.jsonl.gz": Rows(
            "one prediction of one utterance by one strategy under one control",
            "utterance id, then controls (none first) and strategies in the plan's order",
            (
                UTTERANCE,
                STRATEGY,
                CONTROL,
                text("clip_of", "the utterance whose clip was heard; empty for a baseline"),
                Column(
                    "distribution",
                    "list",
                    "list of shares with nine significant digits (only 0 is 0); null if it failed",
                ),
                count("candidates", "candidates of the utterance"),
                count("unparsed", "those that do not parse"),
                count("unscored", "those that parse and have no score"),
                text("failure", "why there is no prediction; empty if there is one"),
                number("expected_bits", "entropy that the shares leave open on average"),
                number("spread_bits", "entropy of each component's doubt about its own shares"),
                number("disagreement_bits", "Jensen-Shannon divergence of the candidates"),
            ),
        ),
    }
)
"""Every JSON-lines file below `data/`. The three entropies are null where there is no mixture."""

DOCUMENTS: Mapping[str, str] = MappingProxyType(
    {
        "README.md": "how to check the bundle without this package",
        "verify.py": "the second verifier: Python's standard library and nothing else",
        "config/plan.yaml": "the plan, every default written out",
        "config/run.json": "`ambiemo` (version), `format` of the bundle (2), `claims_sha256`, `limit`, "
        "`missing` (what was left out, by name), `partial` (whether anything was)",
        "config/claims.yaml": "the claims as they were written before the run, to the byte",
        "config/prompts/MODEL/PROMPT.txt": "the prompts, verbatim",
        "inputs/labels.json": "the labels of each corpus, in the order of all votes and distributions",
        "inputs/models.json": "each model's specification: weights, revision, abilities, price",
        "inputs/judges.json": "which model judges each model's candidates",
        "inputs/corpora.json": "per corpus: counts, options, hashes of the owner's label files",
        "inputs/vote_units.json": "units of one rater's vote; above 1 where a vote is divided",
        "tables/*.csv": "six decimals; empty means not estimable. These files are the authority",
        "tables/*.md": "the same numbers for reading",
        "env/machine.json": "Python, platform, processor, GPUs, versions of all packages, settings "
        "that change numbers, hash of the source tree, image digest. No host name, user name, path "
        "or serial number",
        "provenance/statement.json": "in-toto Statement v1 with SLSA provenance v1, unsigned: the "
        "tables, and by hash the plan, source tree, models and corpora they come from",
        "ro-crate-metadata.json": "the same for catalogues: RO-Crate 1.1 with Process Run Crate 0.5, "
        "every file with size and hash",
        "log/failures.csv": "failed draws: `kind`, `model`, `corpus`, `utterance_id`, `draw`, `failure`",
        "log/run.log": "calls and seconds",
    }
)
"""The other files below `data/`."""
