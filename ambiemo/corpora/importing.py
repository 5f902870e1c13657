"""From a corpus folder to `utterances.parquet` and its manifest, with the same bytes each time."""

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ambiemo import __version__, durable
from ambiemo.corpora import corpus, load
from ambiemo.corpora.columns import SCHEMA, Imported
from ambiemo.errors import BadInput

DEFAULTS = {"audio": "optional", "bad_audio": "stop"}
"""Unlike a run, an import keeps utterances without audio and refuses clips it cannot decode."""

ROW_GROUP = 65_536


def import_corpus(
    name: str, root: Path | None, out: Path, options: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Load a corpus, write `out` (Parquet, `columns.SCHEMA`) and its manifest; return the manifest.

    Nothing is written unless the whole corpus loads.
    Raises BadInput as `load` does, and for an `out` that is a folder or does not end in .parquet;
    Broken if the disk refuses.
    """
    corpus(name)
    if out.is_dir():
        raise BadInput(
            f"{out}: is a folder; expected the name of the Parquet file, "
            f"such as {out / 'utterances.parquet'}"
        )
    if out.suffix != ".parquet":
        raise BadInput(f"{out}: expected a name that ends in .parquet")
    imported = load(name, root, {**DEFAULTS, **(options or {})})
    data = parquet_bytes(imported)
    manifest = manifest_of(name, imported, data)
    durable.write(out, data)
    durable.write(manifest_path(out), (as_json(manifest) + "\n").encode("utf-8"))
    return manifest


def parquet_bytes(imported: Imported) -> bytes:
    """The table as Parquet. The same table gives the same bytes under the same pyarrow."""
    import pyarrow.parquet as pq

    sink = io.BytesIO()
    pq.write_table(
        imported.table,
        sink,
        row_group_size=ROW_GROUP,
        version="2.6",
        compression="zstd",
        compression_level=3,
        use_dictionary=True,
        write_statistics=True,
        data_page_version="1.0",
    )
    return sink.getvalue()


def manifest_of(name: str, imported: Imported, data: bytes) -> dict[str, Any]:
    """How the Parquet file was made and what it contains. No date, no machine path."""
    row = corpus(name)
    return {
        "corpus": name,
        "licence": row.licence,
        "ambiemo": __version__,
        "parquet_sha256": durable.sha256(data),
        "columns": SCHEMA.names,
        "counts": imported.counts,
        "options": imported.options,
        "sources": [{"path": path, "sha256": digest} for path, digest in imported.sources],
        "notes": list(imported.notes),
    }


def manifest_path(out: Path) -> Path:
    """The manifest's path: utterances.parquet -> utterances.manifest.json."""
    return out.with_suffix(".manifest.json")


def as_json(manifest: Mapping[str, Any]) -> str:
    """A manifest as indented JSON."""
    return json.dumps(manifest, indent=2, ensure_ascii=False)


def lines(manifest: Mapping[str, Any], out: Path) -> list[str]:
    """What `ambiemo data import` prints: what was kept, what was dropped and why, and the notes."""
    counts = manifest["counts"]
    rest = {
        key: value
        for key, value in counts.items()
        if key not in ("utterances", "with_audio", "votes", "dropped")
    }
    dropped = {reason: n for reason, n in counts["dropped"].items() if n}
    return [
        f"{out}: {counts['utterances']:,} utterances of {manifest['corpus']}, "
        f"{counts['with_audio']:,} with audio, "
        f"{counts['votes']:,} votes",
        f"  dropped: {_tally(dropped) or 'none'}",
        f"  {_tally(rest)}",
        *(f"  note: {note}" for note in manifest["notes"]),
        f"  sha256 {manifest['parquet_sha256']}; manifest: {manifest_path(out).name}",
    ]


def _tally(counts: Mapping[str, Any]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {n:,}" for name, n in counts.items())
