"""The registry for a person to read: `ambiemo corpora`."""

import json
from typing import Any

from ambiemo.corpora import CORPORA, label_set, parsed


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


def as_json() -> str:
    """The registry as one JSON object."""
    return json.dumps({"corpora": rows()}, indent=2, ensure_ascii=False)


def lines() -> list[str]:
    """The registry as text, a few lines per corpus."""
    out: list[str] = []
    for row in rows():
        kind = (
            "raters' votes"
            if row["votes"]
            else "acted labels, no votes: clear-cut, no ambiguity claims"
        )
        out += [
            f"{row['name']}: {row['title']}",
            f"  licence  {row['licence']}",
            f"  labels   {', '.join(row['labels'])} ({kind})",
            f"  get it   {row['where']}",
            f"  folder   {row['put']}",
            "  options  "
            f"{', '.join(f'{key}={json.dumps(value)}' for key, value in row['options'].items())}",
        ]
    return out
