"""`draws.csv`: what was asked and what came back. One row per corpus, model and question: draws,
candidates, tokens, verdicts, failures.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ambiemo.jsonlines import Row
from ambiemo.results.study import Study


@dataclass
class Tally:
    """Counts of what came back to one question: columns of `draws.csv`."""

    draws: int = 0
    failed: int = 0
    candidates: int = 0
    tokens: int = 0
    exact: int = 0
    repaired: int = 0
    partial: int = 0
    unparsed: int = 0
    cut_at_max_tokens: int = 0
    clips_truncated: int = 0

    def add(self, rows: Sequence[Row]) -> None:
        """Count one draw: its candidates' rows, or the single row of its failure."""
        self.draws += 1
        self.clips_truncated += bool(rows[0]["truncated"])
        if rows[0].get("failure"):
            self.failed += 1
            return
        self.candidates += len(rows)
        self.tokens += sum([row["tokens"] for row in rows])
        self.cut_at_max_tokens += [row["finish_reason"] for row in rows].count("length")
        verdicts = [row["verdict"] for row in rows]
        for verdict in set(verdicts):
            setattr(self, verdict, getattr(self, verdict) + verdicts.count(verdict))

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(
            *(getattr(self, name) + getattr(other, name) for name in self.__dataclass_fields__)
        )


def draw_rows(
    study: Study, unit: tuple[str, str], tallies: Mapping[str, tuple[Tally, Tally]]
) -> list[Row]:
    """What was asked and what came back, by question; the verifier's questions last.

    tallies: by question, of its answers and of the verifier's scores of them.
    """
    model, corpus = unit
    by_question: dict[tuple[str, ...], Tally] = {}
    for question in study.questions:
        if question.unit != unit:
            continue
        answers, scores = tallies[question.name]
        kind, count = question.decoding.kind, question.decoding.count
        decoding = kind if kind == "greedy" else f"{kind}({count})"
        by_question[("answer", question.prompt_id, decoding, question.audio)] = answers
        if question.judged:
            asked = (f"score by {study.judges[model]}", question.judge, "greedy", question.audio)
            by_question[asked] = by_question.get(asked, Tally()) + scores
    heads = ("purpose", "prompt", "decoding", "audio")
    return [
        {"corpus": corpus, "model": model, **dict(zip(heads, asked, strict=True)), **vars(tally)}
        for asked, tally in sorted(by_question.items())
    ]
