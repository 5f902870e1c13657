"""`levels.csv`: the ambiguity levels of each corpus and the entropy behind them."""

from collections.abc import Mapping

from ambiemo import labels as votes_to
from ambiemo.jsonlines import Row
from ambiemo.results.study import Study
from ambiemo.results.tables.csv_form import mean_of
from ambiemo.results.truths import Truths


def level_rows(study: Study, truths: Mapping[str, Truths]) -> list[Row]:
    """The ambiguity levels of each corpus: utterances, votes, mean entropy raw and corrected for
    the number of raters."""
    rows = []
    for name, corpus in sorted(truths.items()):
        unit = study.vote_units[name]
        for level, inside in corpus.inside().items():
            rows.append(
                {
                    "corpus": name,
                    "level": level,
                    "rule": study.plan.ambiguity.rule,
                    "n": int(inside.sum()),
                    "votes": _exact(int(corpus.votes[inside].sum()), unit),
                    "entropy_bits": mean_of(votes_to.entropy_bits(corpus.truth[inside])),
                    "entropy_bits_miller_madow": mean_of(
                        votes_to.miller_madow_bits(corpus.votes[inside] / unit)
                    ),
                }
            )
    return rows


def _exact(count: int, unit: int) -> int | float:
    """count / unit, an integer where it is one."""
    return count / unit if count % unit else count // unit
