"""The command line: parse, call, print. Every command imports what it needs when it is called, so
that `verify` and `score` start at once.
"""

import sys
from pathlib import Path

import click

from ambiemo import __version__
from ambiemo.errors import AmbiemoError, shown

LONGEST_ERROR = 4000


class OneLineErrors(click.Group):
    """Prints the package's own errors as one line on stderr and exits with the code they carry."""

    def invoke(self, context: click.Context) -> object:
        try:
            return super().invoke(context)
        except AmbiemoError as error:
            for line in str(error).splitlines():
                click.echo(f"ambiemo: {shown(line, LONGEST_ERROR)}", err=True)
            sys.exit(error.exit_code)


@click.group(cls=OneLineErrors, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="ambiemo")
def main() -> None:
    """Reproduce, and check, "Decoding Ambiguous Emotions with Test-Time Scaling in Audio-Language
    Models" (arXiv 2602.03873).
    """


AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
PLAN = click.argument("plan_file", metavar="PLAN", type=click.Path(path_type=Path))


@main.command()
@PLAN
@click.option(
    "--limit", type=click.IntRange(min=1), help="At most this many utterances of each corpus."
)
@AS_JSON
@click.option(
    "--in-image",
    is_flag=True,
    help="The run will be in the container image: do not look for engines here.",
)
def plan(plan_file: Path, limit: int | None, as_json: bool, in_image: bool) -> None:
    """Dry run: cells, draws before and after sharing, tokens, cost, and what is missing. Exit 0
    ready, 2 something missing.
    """
    from ambiemo.plan import dry_run
    from ambiemo.plan.expand import expand
    from ambiemo.plan.schema import read

    ready = dry_run.show(
        expand(read(plan_file), limit=limit, where="image" if in_image else "here"), as_json=as_json
    )
    sys.exit(0 if ready else 2)


@main.command()
@PLAN
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="The bundle's folder. Default: artifacts/<name of the plan>.",
)
@click.option(
    "--store",
    type=click.Path(path_type=Path),
    help="Where answers are kept between runs. Default: .store beside the bundle.",
)
@click.option(
    "--address", help="A Ray cluster to run on (such as 'auto'). Default: Ray on this machine."
)
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    help="At most this many utterances of each corpus; the bundle says so.",
)
@click.option(
    "--allow-missing",
    is_flag=True,
    help="Leave out what this machine lacks; every table names what was left out.",
)
@click.option(
    "--yes",
    is_flag=True,
    help="Pay what the plan may cost, for models without a ceiling (`max_dollars`).",
)
@click.option(
    "--report/--no-report",
    default=True,
    show_default=True,
    help="End with the bundle's page, BUNDLE.html next to it.",
)
def run(
    plan_file: Path,
    out: Path | None,
    store: Path | None,
    address: str | None,
    limit: int | None,
    allow_missing: bool,
    yes: bool,
    report: bool,
) -> None:
    """The whole job, resumable; ends with a bundle. Exit 0 done, 1 failed, 2 cannot start.

    A model that fails loses its own column only: the bundle has the others, and the exit code is 1.
    """
    from ambiemo.pipeline.run import run as run_plan

    run_plan(
        plan_file,
        out=out,
        store=store,
        address=address,
        limit=limit,
        allow_missing=allow_missing,
        yes=yes,
        report=report,
    )


@main.command()
@click.argument("out", type=click.Path(path_type=Path))
@click.option(
    "--store",
    type=click.Path(path_type=Path),
    help="The run's --store. Default: .store beside the bundle.",
)
@AS_JSON
def status(out: Path, store: Path | None, as_json: bool) -> None:
    """What the run that writes the bundle OUT is doing: draws, rate, time left, dollars. Exit 0, or
    2 where there is no run.
    """
    import json

    from ambiemo.pipeline.status import lines, read_status

    told = read_status(out, store)
    click.echo(json.dumps(told, indent=2) if as_json else "\n".join(lines(told)))


@main.command()
@click.argument("bundle", type=click.Path(path_type=Path))
@AS_JSON
@click.option(
    "--signers",
    type=click.Path(path_type=Path),
    help="Your list of allowed signers (ssh-keygen): the bundle must be signed by one of them.",
)
@click.option(
    "--report",
    "page",
    type=click.Path(path_type=Path),
    help="The bundle's page, to be checked too. Default: BUNDLE.html, if it is there.",
)
def verify(bundle: Path, as_json: bool, signers: Path | None, page: Path | None) -> None:
    """Does a bundle hold: unchanged, nothing added, tables follow from answers. Exit 0 holds, 1
    broken, 2 unreadable.
    """
    from ambiemo.bundle import verdict

    sys.exit(0 if verdict.show(bundle, as_json=as_json, signers=signers, page=page) else 1)


@main.command()
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option(
    "--key", type=click.Path(path_type=Path), required=True, help="An OpenSSH private key."
)
def sign(bundle: Path, key: Path) -> None:
    """Sign a bundle that holds, with OpenSSH. Exit 0 signed, 1 the bundle is broken, 2 the key
    cannot be used.
    """
    from ambiemo.bundle import signing, verdict
    from ambiemo.bundle.folder import look

    if not verdict.show(bundle, as_json=False):
        sys.exit(1)
    click.echo(
        f"signed by {signing.sign(look(bundle), key)}: give readers {bundle / 'allowed_signers'} by another way"
    )


@main.command()
@click.argument("first", metavar="A", type=click.Path(path_type=Path))
@click.argument("second", metavar="B", type=click.Path(path_type=Path))
@click.option(
    "--margin",
    type=click.FloatRange(0, 1, min_open=True),
    default=0.01,
    show_default=True,
    help="Bits of JS divergence that do not matter.",
)
@AS_JSON
def compare(first: Path, second: Path, margin: float, as_json: bool) -> None:
    """Two bundles, cell by cell, paired per utterance, by an equivalence test. Exit 0 agree, 1 not
    shown to agree.
    """
    from ambiemo.bundle import compare as comparing
    from ambiemo.bundle.folder import in_one_line

    with in_one_line(first, second):
        agree = comparing.show(first, second, margin, as_json=as_json)
    sys.exit(0 if agree else 1)


@main.command()
@click.argument("bundle", type=click.Path(path_type=Path))
@click.argument("table")
@click.argument("row")
@click.argument("column")
@AS_JSON
def trace(bundle: Path, table: str, row: str, column: str, as_json: bool) -> None:
    """The utterances, answers and hashes behind one number of a bundle.

    TABLE is results; ROW its line number (the header is 1) or corpus/model/strategy/control/level;
    COLUMN a metric.
    """
    from ambiemo.bundle import trace as tracing
    from ambiemo.bundle.folder import in_one_line

    with in_one_line(bundle):
        tracing.show(bundle, table, row, column, as_json=as_json)


@main.command()
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option(
    "--out", type=click.Path(path_type=Path), help="Write the tables into this folder too."
)
def tables(bundle: Path, out: Path | None) -> None:
    """The tables of a bundle again, from its answers."""
    from ambiemo.bundle.folder import in_one_line, payload
    from ambiemo.bundle.recomputing import tables_again
    from ambiemo.durable import write
    from ambiemo.terminal import print_tables

    with in_one_line(bundle):
        made = {
            path: data
            for path, data in tables_again(payload(bundle)).items()
            if path.startswith("tables/")
        }
    for path, data in made.items():
        if out is not None:
            write(out / path.removeprefix("tables/"), data)
    print_tables(made)
    if out is not None:
        click.echo(f"{len(made)} tables in {out}")


@main.command()
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="The page. Default: BUNDLE.html.")
@click.option(
    "--audio",
    type=click.Path(path_type=Path),
    help="Your own audio files: each clip with the right SHA-256 is linked, none is copied.",
)
@click.option("--strict", is_flag=True, help="Write no page of a bundle that does not verify.")
@click.option(
    "--fast",
    is_flag=True,
    help="Check hashes only, do not make the tables again; the page says so.",
)
def report(bundle: Path, out: Path | None, audio: Path | None, strict: bool, fast: bool) -> None:
    """Write one HTML page about a bundle: claims, figures, tables, utterances. Exit 0, or 1 with
    --strict where the bundle is broken.
    """
    from ambiemo.bundle.page import open_words, write_page

    place, findings = write_page(bundle, out, audio, strict=strict, fast=fast)
    if findings:
        click.echo(
            f"ambiemo: {shown(str(bundle))}: does not verify ({len(findings)} findings); the page says so on top",
            err=True,
        )
    click.echo(open_words(place))


@main.command()
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option(
    "--out", type=click.Path(path_type=Path), required=True, help="The folder for the figures."
)
@click.option(
    "--format",
    "formats",
    default="svg",
    show_default=True,
    metavar="svg,pdf",
    help="One format, or both with a comma.",
)
def figures(bundle: Path, out: Path, formats: str) -> None:
    """Write the figures of the page as files for a paper. The same bundle gives the same bytes."""
    from ambiemo.bundle.page import write_figures

    written = write_figures(bundle, out, formats.split(","))
    click.echo(f"{len(written)} figures in {out}")


@main.command()
@click.argument("votes", metavar="VOTES.csv", type=click.Path(path_type=Path))
@click.argument(
    "predictions",
    metavar="PREDICTIONS.csv [MORE.csv ...]",
    nargs=-1,
    required=True,
    type=click.Path(path_type=Path),
)
@click.option(
    "--clusters",
    type=click.Path(path_type=Path),
    help="CSV with utterance_id,cluster (speaker or dialogue): intervals, and p by cluster.",
)
@click.option(
    "--by-ambiguity",
    is_flag=True,
    help="Test whether the gain over the first file grows with ambiguity. Votes must be whole counts.",
)
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Print one JSON object; null where a metric is not estimable.",
)
def score(
    votes: Path,
    predictions: tuple[Path, ...],
    clusters: Path | None,
    by_ambiguity: bool,
    as_json: bool,
) -> None:
    """Every metric for your own predictions. All files: utterance_id, then one column per label.

    With several files of predictions each is compared with the first, paired by utterance.
    """
    from ambiemo.results import score as scoring

    if len(predictions) == 1 and clusters is None and not by_ambiguity:
        scored = scoring.score(votes, predictions[0])
        click.echo(scoring.as_json(scored)) if as_json else scoring.show(scored)
        return
    board = scoring.leaderboard(votes, predictions, clusters, by_ambiguity)
    click.echo(scoring.board_as_json(board)) if as_json else scoring.show_board(board)


@main.command()
def strategies() -> None:
    """The strategies: prompt, decoding, scorer, aggregator, and what each needs of a model."""
    from ambiemo.results.listing import show_strategies

    show_strategies()


@main.command()
@click.option(
    "--resolve", is_flag=True, help="Ask huggingface.co for the commit to pin, one line per model."
)
@click.option(
    "--fetch",
    "plan_file",
    metavar="PLAN",
    type=click.Path(path_type=Path),
    help="Download the weights of a plan's models at their commits, into the cache.",
)
def models(resolve: bool, plan_file: Path | None) -> None:
    """The models: weights, revision, engine, what each can do."""
    if plan_file is not None:
        from ambiemo.models.fetching import fetch
        from ambiemo.plan.schema import read

        done = fetch([entry.spec() for entry in read(plan_file).every_model], click.echo)
        click.echo(f"{len(done)} repositories are here")
        return
    if resolve:
        from ambiemo.models import MODELS
        from ambiemo.models.resolving import resolved_lines

        for line in resolved_lines(MODELS.values()):
            click.echo(line)
        return
    from ambiemo.results.listing import show_models

    show_models()


@main.group()
def data() -> None:
    """Corpora: import as the owner ships them, fetch the open ones, describe."""


ROOT = click.option(
    "--root",
    type=click.Path(path_type=Path),
    required=True,
    help="The corpus' folder, as its owner ships it.",
)
JOBS = click.option(
    "--jobs", type=click.IntRange(1, 32), default=8, show_default=True, help="Downloads at once."
)


@data.command("import")
@click.argument("corpus")
@click.option(
    "--root", type=click.Path(path_type=Path), help="The corpus' folder, as its owner ships it."
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    required=True,
    help="The Parquet file to write; its manifest goes beside it.",
)
@click.option(
    "--option",
    "options",
    multiple=True,
    metavar="KEY=VALUE",
    help="An option of the corpus (docs/corpora.md); may be repeated.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the manifest as one JSON object.")
def data_import(
    corpus: str, root: Path | None, out: Path, options: tuple[str, ...], as_json: bool
) -> None:
    """A corpus as its owner ships it -> utterances.parquet. Exit 0, or 2 for a folder or row that
    is not as expected.
    """
    from ambiemo.corpora import importing
    from ambiemo.corpora.options import from_command_line

    manifest = importing.import_corpus(corpus, root, out, from_command_line(options))
    click.echo(
        importing.as_json(manifest) if as_json else "\n".join(importing.lines(manifest, out))
    )


@data.command("fetch")
@click.argument("corpus")
@ROOT
@JOBS
@click.option("--base-url", help="Where the files are, in place of the owner's public address.")
@click.option(
    "--match",
    default="*",
    show_default=True,
    metavar="GLOB",
    help="Only files whose path matches, such as 'AudioWAV/1001_*'.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as one JSON object.")
def data_fetch(
    corpus: str, root: Path, jobs: int, base_url: str | None, match: str, as_json: bool
) -> None:
    """The openly licensed corpora, each file checked against its pinned hash. Exit 0 whole, 1 not;
    2 licensed: says where to ask.
    """
    from ambiemo.corpora import fetching

    fetched = fetching.fetch(
        corpus,
        root,
        base_url=base_url,
        jobs=jobs,
        match=match,
        report=lambda line: click.echo(line, err=True),
    )
    click.echo(fetching.as_json(fetched) if as_json else "\n".join(fetching.lines(fetched)))
    sys.exit(0 if fetched.whole else 1)


@data.command("describe")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--rule",
    default="bits",
    show_default=True,
    help="Ambiguity rule: bits, tertiles, 2409.18339 or 2601.14620.",
)
@click.option(
    "--threshold",
    "thresholds",
    multiple=True,
    metavar="KEY=BITS",
    help="For rule bits: medium_from, high_from.",
)
@AS_JSON
def data_describe(file: Path, rule: str, thresholds: tuple[str, ...], as_json: bool) -> None:
    """Counts, votes per utterance, entropy, ambiguity levels of an imported corpus."""
    from ambiemo.corpora import describing
    from ambiemo.corpora.options import from_command_line

    description = describing.describe(describing.read(file), rule, from_command_line(thresholds))
    click.echo(
        describing.as_json(description) if as_json else "\n".join(describing.lines(description))
    )


@main.command()
@AS_JSON
def corpora(as_json: bool) -> None:
    """The corpora: licence, labels, options with defaults, where to get each."""
    from ambiemo.corpora import catalogue

    click.echo(catalogue.as_json() if as_json else "\n".join(catalogue.lines()))
