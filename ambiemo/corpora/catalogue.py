"""The registry for a person to read: `ambiemo corpora`."""

import json
from typing import Any

from ambiemo.corpora import CORPORA, label_set, parsed
from ambiemo.terminal import Facts, Part


def rows() -> list[dict[str, Any]]:
    """One row per corpus: what it is, what it needs, its options with their defaults."""
    return [
        {
            "name": row.name,
            "title": row.title,
            "licence": row.licence,
            "open": row.open,
            "votes": row.votes,
            "labels": list(label_set(row.name)),
            "where": row.where,
            "put": row.file.LAYOUT,
            "options": parsed(row.name).model_dump(mode="json"),
        }
        for row in CORPORA.values()
    ]


def parts() -> list[Part]:
    """The registry for people, a few lines per corpus."""
    out: list[Part] = []
    for row in rows():
        kind = (
            "raters' votes"
            if row["votes"]
            else "acted labels, no votes: clear-cut, no ambiguity claims"
        )
        options = ", ".join(f"{key}={json.dumps(value)}" for key, value in row["options"].items())
        facts = (
            ("licence", row["licence"]),
            ("labels", f"{', '.join(row['labels'])} ({kind})"),
            ("get it", row["where"]),
            ("folder", row["put"]),
            ("options", options),
        )
        out += [*[""] * bool(out), Facts(f"{row['name']}: {row['title']}", facts)]
    return out
