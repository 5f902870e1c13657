"""Import to Parquet: the same bytes for the same input, nothing half-written; description,
registry.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from corpora_fixtures import put, wav

from ambiemo import __version__
from ambiemo.cli import main
from ambiemo.corpora import CORPORA, catalogue, corpus, label_set, load
from ambiemo.corpora.columns import SCHEMA, build, votes_of
from ambiemo.corpora.describing import describe, read
from ambiemo.corpora.importing import import_corpus, manifest_path
from ambiemo.corpora.options import CommonOptions, from_command_line
from ambiemo.durable import sha256, sha256_file
from ambiemo.errors import BadInput, Broken

TABLE = (
    '"","A","D","F","H","N","S","fileName","numResponses","agreement","emoVote"\n'
    '"100001",0,0,0,1,3,0,"1001_IEO_NEU_XX",4,0.75,"N"\n"100002",2,2,0,0,0,0,"1001_IEO_ANG_MD",4,0.5,"A:D"\n'
)


@pytest.fixture
def crema(tmp_path: Path) -> Path:
    root = tmp_path / "somewhere" / "CREMA-D"
    put(root, "processedResults/tabulatedVotes.csv", TABLE)
    put(root, "AudioWAV/1001_IEO_NEU_XX.wav", wav(1.0))
    return root


def test_the_same_input_gives_the_same_bytes_from_any_place_zone_and_locale(
    crema: Path, tmp_path: Path
) -> None:
    outs = []
    for place, zone, locale in (
        (crema, "UTC", "C"),
        (tmp_path / "moved" / "x", "Pacific/Chatham", "C.UTF-8"),
    ):
        if not place.exists():
            place.parent.mkdir()
            crema.rename(place)
        out = tmp_path / f"{zone[:3]}.parquet"
        command = [
            sys.executable,
            "-m",
            "ambiemo",
            "data",
            "import",
            "crema-d",
            "--root",
            place.name,
            "--out",
            str(out),
        ]
        subprocess.run(
            command,
            check=True,
            cwd=place.parent,
            env={**os.environ, "TZ": zone, "LC_ALL": locale},
            capture_output=True,
        )
        outs.append((out.read_bytes(), manifest_path(out).read_bytes()))
    assert outs[0] == outs[1]


def test_the_manifest_says_how_the_table_was_made_and_names_no_machine(
    crema: Path, tmp_path: Path
) -> None:
    out = tmp_path / "utterances.parquet"
    import_corpus("crema-d", crema, out, {"limit": 2})
    manifest = json.loads(manifest_path(out).read_text(encoding="utf-8"))
    assert manifest["parquet_sha256"] == sha256_file(out)
    assert manifest["sources"] == [
        {"path": "processedResults/tabulatedVotes.csv", "sha256": sha256(TABLE.encode())},
    ]
    assert manifest["options"]["query"] == "voice"
    assert (
        manifest["options"]["audio"],
        manifest["options"]["bad_audio"],
        manifest["options"]["limit"],
    ) == (
        "optional",
        "stop",
        2,
    )
    assert manifest["ambiemo"] == __version__
    assert manifest["counts"]["utterances"] == 2
    assert str(tmp_path) not in manifest_path(out).read_text(encoding="utf-8")
    assert str(tmp_path).encode() not in out.read_bytes()


def test_the_parquet_file_has_the_schema_and_the_hash_of_the_audio(
    crema: Path, tmp_path: Path
) -> None:
    out = tmp_path / "utterances.parquet"
    import_corpus("crema-d", crema, out)
    table = pq.read_table(out)
    assert table.schema.remove_metadata().equals(SCHEMA)
    by_id = {row["utterance_id"]: row for row in table.to_pylist()}
    assert by_id["1001_IEO_NEU_XX"]["audio_sha256"] == sha256_file(
        crema / "AudioWAV/1001_IEO_NEU_XX.wav"
    )
    assert by_id["1001_IEO_ANG_MD"]["audio_sha256"] == ""


def test_a_failed_import_leaves_what_stood_there(crema: Path, tmp_path: Path) -> None:
    out = tmp_path / "utterances.parquet"
    import_corpus("crema-d", crema, out)
    before = (
        out.read_bytes(),
        manifest_path(out).read_bytes(),
        sorted(path.name for path in tmp_path.iterdir()),
    )
    put(crema, "processedResults/tabulatedVotes.csv", TABLE + '"100003",1\n')
    with pytest.raises(BadInput, match=":4: found 2 fields"):
        import_corpus("crema-d", crema, out)
    assert (
        out.read_bytes(),
        manifest_path(out).read_bytes(),
        sorted(path.name for path in tmp_path.iterdir()),
    ) == before


def test_an_out_that_cannot_be_a_parquet_file_is_refused_before_work(
    crema: Path, tmp_path: Path
) -> None:
    with pytest.raises(BadInput, match="is a folder"):
        import_corpus("crema-d", crema, tmp_path)
    with pytest.raises(BadInput, match=r"ends in \.parquet"):
        import_corpus("crema-d", crema, tmp_path / "table.csv")
    put(tmp_path, "file", "x")
    with pytest.raises(Broken, match="cannot write"):
        import_corpus("crema-d", crema, tmp_path / "file" / "u.parquet")


def test_a_file_that_is_no_utterance_table_cannot_be_described(crema: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="cannot be read"):
        read(tmp_path / "none.parquet")
    with pytest.raises(BadInput, match="is not a Parquet file"):
        read(put(tmp_path, "text.parquet", "hello"))
    other = tmp_path / "other.parquet"
    pq.write_table(pa.table({"a": [1]}), other)
    with pytest.raises(BadInput, match="lacks the columns utterance_id"):
        read(other)
    with pytest.raises(BadInput, match="is a folder"):
        read(tmp_path)
    out = tmp_path / "u.parquet"
    import_corpus("crema-d", crema, out)
    other_table = read(out).slice(0, 1)
    pq.write_table(other_table, out)
    with pytest.raises(BadInput, match=r"is not the file that u\.manifest\.json describes"):
        read(out)


def test_describe_counts_ties_and_levels_by_the_rule_asked_for(crema: Path, tmp_path: Path) -> None:
    out = tmp_path / "u.parquet"
    import_corpus("crema-d", crema, out)
    run = CliRunner()
    d = json.loads(run.invoke(main, ["data", "describe", str(out), "--json"]).output)
    # entropies: 0.811 bits and 1 bit
    assert (d["plurality_ties"], d["unanimous"], d["few_votes"]) == (1, 0, 2)
    assert d["levels"] == {"low": 1, "medium": 1, "high": 0, "clear-cut": 0}
    assert d["entropy_bits"]["mean"] == pytest.approx((0.811278 + 1) / 2, abs=1e-6)
    moved = run.invoke(
        main,
        [
            "data",
            "describe",
            str(out),
            "--json",
            "--threshold",
            "medium_from=0.5",
            "--threshold",
            "high_from=0.9",
        ],
    )
    assert json.loads(moved.output)["levels"] == {"low": 0, "medium": 1, "high": 1, "clear-cut": 0}
    bad = run.invoke(main, ["data", "describe", str(out), "--rule", "thirds"])
    assert (bad.exit_code, len(bad.output.strip().splitlines())) == (2, 1)
    assert "unknown; there are bits, tertiles" in bad.output
    words = run.invoke(main, ["data", "describe", str(out), "--threshold", "medium_from=lots"])
    assert words.exit_code == 2
    assert "medium_from" in words.output


def test_split_votes_are_described_as_whole_raters() -> None:
    votes = np.array([[3, 3, 0], [6, 0, 6]])
    table = build({"utterance_id": ["a", "b"], "corpus": "x"}, ("p", "q", "r"), votes)
    d = describe(table.replace_schema_metadata({b"vote_unit": b"6"}))
    assert d["votes"] == 3
    assert d["votes_per_utterance"] == {"min": 1, "median": 1.5, "max": 2}
    assert d["votes_per_label"] == {"p": 1.5, "q": 0.5, "r": 1}


def test_tables_with_different_label_sets_are_refused() -> None:
    one = build({"utterance_id": ["a"], "corpus": "x"}, ("p", "q"), np.array([[1, 2]]))
    two = build({"utterance_id": ["b"], "corpus": "x"}, ("q", "p"), np.array([[1, 2]]))
    with pytest.raises(BadInput, match="different label sets"):
        votes_of(pa.concat_tables([one, two]))
    with pytest.raises(KeyError, match="speeker"):
        build(
            {"utterance_id": ["a"], "corpus": "x", "speeker": ["s"]}, ("p", "q"), np.array([[1, 2]])
        )


@pytest.mark.parametrize("name", list(CORPORA))
def test_every_registry_entry_resolves(name: str) -> None:
    row = corpus(name)
    assert row.file.NAME == row.name == name
    assert issubclass(row.file.Options, CommonOptions)
    assert row.file.Options().audio == "required"
    assert len(set(label_set(name))) >= 4
    assert row.where
    assert row.file.LAYOUT


def test_an_unknown_corpus_gets_the_nearest_name() -> None:
    with pytest.raises(BadInput, match="corpus 'crema_d': unknown; did you mean 'crema-d'"):
        load("crema_d", "x")
    with pytest.raises(BadInput, match="corpus 'ravdess': unknown; there are tiny, iemocap"):
        load("ravdess", "x")
    with pytest.raises(BadInput, match=r"corpus 'iemocap': no folder given.*sail\.usc\.edu"):
        load("iemocap")


def test_the_corpora_command_lists_every_corpus_with_its_options() -> None:
    text = CliRunner().invoke(main, ["corpora"]).output
    for name in CORPORA:
        assert f"{name}: " in text
    assert 'query="voice"' in text
    listed = json.loads(CliRunner().invoke(main, ["corpora", "--json"]).output)["corpora"]
    assert listed == catalogue.rows()


def test_options_are_documented_with_the_defaults_they_have() -> None:
    page = (Path(__file__).resolve().parent.parent / "docs" / "corpora.md").read_text(
        encoding="utf-8"
    )
    for row in catalogue.rows():
        for key, value in row["options"].items():
            shown = (
                "none"
                if value is None
                else "all"
                if value == []
                else ", ".join(value)
                if isinstance(value, list)
                else str(value).lower()
                if isinstance(value, bool)
                else value
            )
            assert f"| `{key}` | `{shown}` |" in page, (
                f"{row['name']}: {key} (default {shown}) is not in docs/corpora.md"
            )


def test_options_of_the_command_line_are_read_as_a_plan_reads_them() -> None:
    assert from_command_line(
        ["limit=3", "splits=[Test1, Test2]", "excited_as_happy=true", "query=face"]
    ) == {
        "limit": 3,
        "splits": ["Test1", "Test2"],
        "excited_as_happy": True,
        "query": "face",
    }
    with pytest.raises(BadInput, match="found no '='"):
        from_command_line(["limit"])
    with pytest.raises(BadInput, match="given twice"):
        from_command_line(["limit=1", "limit=2"])


def test_the_registry_imports_nothing_heavy() -> None:
    code = "import sys, ambiemo.corpora; print([m for m in ('pandas', 'pyarrow', 'soundfile', 'soxr', 'torch', 'ray') if m in sys.modules])"
    assert (
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout.strip()
        == "[]"
    )


def test_the_import_benchmark_runs_and_counts_what_it_made(tmp_path: Path) -> None:
    script = (
        Path(__file__).resolve().parent.parent / "reproduce" / "bench" / "import_msp_podcast.py"
    )
    out = tmp_path / "bench.json"
    command = [
        sys.executable,
        str(script),
        "--format",
        "v1.11",
        "--utterances",
        "400",
        "--ratings",
        "1700",
        "--out",
        str(out),
    ]
    subprocess.run(command, check=True, capture_output=True)
    report = json.loads(out.read_text(encoding="utf-8"))
    counts = report["counts"]
    assert (counts["labelled_utterances"], counts["ratings"]) == (400, 1700)
    assert counts["utterances"] + sum(counts["dropped"].values()) == 400
    assert report["peak_rss_mib"] > 10
