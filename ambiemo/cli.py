"""The command line: parse, call, print. Every command imports what it needs when it is called, so
that `verify` and `score` start at once.
"""

import contextlib
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from ambiemo import __version__, commands, terminal
from ambiemo.commands import FrontDoor, Rooms, names
from ambiemo.errors import shown


@click.group(
    cls=FrontDoor,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="ambiemo")
def main() -> None:
    """Reproduce, and check, "Decoding Ambiguous Emotions with Test-Time Scaling in Audio-Language
    Models" (arXiv 2602.03873).

    Begin with `ambiemo run reproduce/quick.yaml`, which needs no GPU, key or network. Examples stand
    at the end of `ambiemo COMMAND --help`.
    """


AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
PLAN = click.argument("plan_file", metavar="PLAN", type=click.Path(path_type=Path))


@main.command()
@PLAN
@click.option(
    "--server",
    default="",
    metavar="URL",
    help="Your model's server, OpenAI-compatible, such as http://127.0.0.1:8000/v1.",
)
@click.option(
    "--model",
    default="",
    metavar="NAME",
    shell_complete=names(commands.models),
    help="The server's name for its model; without --server an id of `ambiemo models`.",
)
@click.option(
    "--weights",
    default="",
    metavar="WHERE",
    help="Your checkpoint in place of a server: a folder, or owner/name.",
)
@click.option("--revision", default="", metavar="COMMIT", help="The commit of owner/name.")
@click.option(
    "--corpus",
    default="",
    metavar="NAME",
    shell_complete=names(commands.corpora),
    help="A corpus of `ambiemo corpora`. Default: the embedded clips.",
)
@click.option("--root", default="", metavar="DIR", help="The corpus' folder.")
@click.option(
    "--csv",
    "clips",
    type=click.Path(path_type=Path),
    help="Your own clips: utterance_id, audio, speaker, one column of counts per label.",
)
@click.option("--limit", type=click.IntRange(min=1), help="At most this many clips. Default: 20.")
@click.option("--force", is_flag=True, help="Replace the file if it is there.")
@AS_JSON
def init(plan_file: Path, clips: Path | None, force: bool, as_json: bool, **wanted: Any) -> None:
    """Write a plan for your own model or clips, with a comment at every key.

    Asks, if no option says what you want and this is a terminal. Needs no network. Exit 0, or 2 for
    a file that is there already.
    """
    from ambiemo.plan import starting

    if clips is None and not any(wanted.values()) and sys.stdin.isatty() and not as_json:
        start = starting.from_answers(commands.ask)
    else:
        start = starting.start(clips=clips, **wanted)
    starting.write(plan_file, start, force)
    if as_json:
        terminal.show_json({"plan": str(plan_file), **asdict(start)})
    else:
        terminal.show(f"{plan_file} is written. Look at it, then: ambiemo plan {plan_file}")


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
    """Show what a plan would do: cells, draws, tokens, cost, and what is missing.

    Draws are counted before and after strategies share them. Exit 0 ready, 2 something is missing.
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
    help="Where answers are kept between runs. Default: .store next to the bundle.",
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
    "--json",
    "as_json",
    is_flag=True,
    help="Print one JSON object at the end; progress goes to stderr.",
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
    as_json: bool,
) -> None:
    """Run a plan to its end and write the bundle; the same command again goes on where it stopped.

    A model that fails loses its own column only: the bundle has the others, and the exit code is 1.
    Exit 0 done, 1 failed, 2 cannot start.
    """
    from ambiemo.pipeline.run import run as run_plan

    with contextlib.redirect_stdout(sys.stderr) if as_json else contextlib.nullcontext():
        bundle = run_plan(
            plan_file,
            out=out,
            store=store,
            address=address,
            limit=limit,
            allow_missing=allow_missing,
            yes=yes,
            report=report,
        )
    if as_json:
        account = json.loads((bundle / "data" / "log" / "run.log").read_text("utf-8"))
        terminal.show_json({"bundle": str(bundle), **account})


@main.command()
@click.argument("out", type=click.Path(path_type=Path))
@click.option(
    "--store",
    type=click.Path(path_type=Path),
    help="The run's --store. Default: .store next to the bundle.",
)
@AS_JSON
def status(out: Path, store: Path | None, as_json: bool) -> None:
    """Show what a run is doing: draws, rate, time left, dollars.

    OUT is the bundle that the run writes. Exit 0, or 2 where there is no run.
    """
    from ambiemo.pipeline.status import lines, read_status

    state = read_status(out, store)
    terminal.show_json(state) if as_json else terminal.show(*lines(state))


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
    """Verify a bundle: unchanged, nothing added, tables and claims follow from the answers.

    Exit 0 it holds, 1 it is broken, 2 it cannot be read.
    """
    from ambiemo.bundle import verdict

    sys.exit(0 if verdict.show(bundle, as_json=as_json, signers=signers, page=page) else 1)


@main.command()
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option(
    "--key", type=click.Path(path_type=Path), required=True, help="An OpenSSH private key."
)
@AS_JSON
def sign(bundle: Path, key: Path, as_json: bool) -> None:
    """Sign a bundle that holds, with an OpenSSH key.

    Exit 0 signed, 1 the bundle is broken, 2 the key cannot be used.
    """
    from ambiemo.bundle import signing, verdict
    from ambiemo.bundle.folder import look

    holds = verdict.show(bundle, as_json=False) if not as_json else verdict.holds_now(bundle)
    if not holds:
        if as_json:
            terminal.show_json({"bundle": bundle.name, "holds": False, "signed_by": None})
        sys.exit(1)
    who = signing.sign(look(bundle), key)
    if as_json:
        signers = str(bundle / "allowed_signers")
        terminal.show_json(
            {"bundle": bundle.name, "holds": True, "signed_by": who, "allowed_signers": signers}
        )
    else:
        terminal.show(f"signed by {who}: give readers {bundle / 'allowed_signers'} by another way")


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
    """Compare two bundles, claim by claim and cell by cell, paired by utterance.

    An equivalence test decides: no difference found is not agreement. Exit 0 they agree, 1 not
    shown to agree.
    """
    from ambiemo.bundle import compare as comparing
    from ambiemo.bundle.folder import in_one_line

    with in_one_line(first, second):
        agree = comparing.show(first, second, margin, as_json=as_json)
    sys.exit(0 if agree else 1)


@main.command()
@click.argument("bundle", type=click.Path(path_type=Path))
@click.argument("table", shell_complete=names(commands.table_names))
@click.argument("row", shell_complete=commands.cells)
@click.argument("column", shell_complete=commands.cells)
@AS_JSON
def trace(bundle: Path, table: str, row: str, column: str, as_json: bool) -> None:
    """Trace one number of a bundle back to its utterances, answers and hashes.

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
@AS_JSON
def tables(bundle: Path, out: Path | None, as_json: bool) -> None:
    """Make the tables of a bundle again from its answers, and print them."""
    from ambiemo.bundle.folder import in_one_line, payload
    from ambiemo.bundle.recomputing import tables_again
    from ambiemo.durable import write
    from ambiemo.results import overview

    with in_one_line(bundle):
        files = {
            path: data
            for path, data in tables_again(payload(bundle)).items()
            if path.startswith("tables/")
        }
    for path, data in files.items():
        if out is not None:
            write(out / path.removeprefix("tables/"), data)
    if as_json:
        terminal.show_json(overview.as_object(files))
        return
    terminal.show(*overview.overview(files))
    if out is not None:
        terminal.show(f"{len(files)} tables in {out}")


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
@AS_JSON
def report(
    bundle: Path, out: Path | None, audio: Path | None, strict: bool, fast: bool, as_json: bool
) -> None:
    """Write one HTML page about a bundle: claims, figures, tables, utterances.

    Exit 0, or 1 with --strict where the bundle is broken.
    """
    from ambiemo.bundle.page import open_words, write_page

    place, findings = write_page(bundle, out, audio, strict=strict, fast=fast)
    if findings:
        click.echo(
            f"ambiemo: {shown(str(bundle))}: does not verify ({len(findings)} findings); the page says so on top",
            err=True,
        )
    if as_json:
        terminal.show_json(
            {
                "bundle": bundle.name,
                "page": str(place),
                "holds": not findings,
                "findings": len(findings),
            }
        )
    else:
        terminal.show(open_words(place))


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
@AS_JSON
def figures(bundle: Path, out: Path, formats: str, as_json: bool) -> None:
    """Write the figures of the page as files for a paper.

    The same bundle gives the same bytes.
    """
    from ambiemo.bundle.page import write_figures

    written = write_figures(bundle, out, formats.split(","))
    if as_json:
        terminal.show_json({"bundle": bundle.name, "figures": [str(path) for path in written]})
    else:
        terminal.show(f"{len(written)} figures in {out}")


@main.command()
@PLAN
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="The folder for the test's own store and journals. Default: artifacts/.smoke.",
)
@click.option(
    "--address", help="A Ray cluster to try (such as 'auto'). Default: Ray on this machine."
)
@click.option(
    "--max-dollars",
    type=click.FloatRange(min=0),
    default=1.0,
    show_default=True,
    help="A ceiling over everything that the test asks of servers.",
)
@AS_JSON
def smoke(
    plan_file: Path, out: Path | None, address: str | None, max_dollars: float, as_json: bool
) -> None:
    """Try every model, engine, key and node of a plan with a few clips.

    Exit 0 nothing failed, 1 something would fail.
    """
    from ambiemo.smoke import journey

    lines, trip = journey.smoke(
        plan_file,
        out,
        address,
        max_dollars,
        show=(lambda line: None) if as_json else lambda line: terminal.show(str(line)),
    )
    if as_json:
        click.echo(journey.as_json(lines, trip))
    else:
        terminal.show(journey.verdict(lines, trip))
    sys.exit(1 if journey.fails(lines) else 0)


@main.command()
@click.argument("target", metavar="MODEL_OR_PLAN")
@click.option(
    "--max-dollars",
    type=click.FloatRange(min=0),
    default=1.0,
    show_default=True,
    help="A ceiling for each model that has a price.",
)
@AS_JSON
def conform(target: str, max_dollars: float, as_json: bool) -> None:
    """Try one model, or each of a plan, on the embedded clips, and print a card.

    Exit 0 it conforms, 1 it does not.
    """
    from ambiemo.smoke.conform import conform as conforming

    cards = conforming(target, max_dollars)
    if as_json:
        terminal.show_json({"cards": [card.as_object() for card in cards]})
    else:
        terminal.show(*(part for card in cards for part in card.parts()))
    sys.exit(0 if all(card.holds for card in cards) else 1)


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
    """Score your own predictions by every metric; compare several files with the first.

    All files: utterance_id, then one column per label. Comparisons are paired by utterance.
    """
    from ambiemo.results import score as scoring

    if len(predictions) == 1 and clusters is None and not by_ambiguity:
        scored = scoring.score(votes, predictions[0])
        click.echo(scoring.as_json(scored)) if as_json else terminal.show(*scoring.parts(scored))
        return
    board = scoring.leaderboard(votes, predictions, clusters, by_ambiguity)
    if as_json:
        click.echo(scoring.board_as_json(board))
    else:
        terminal.show(*scoring.board_parts(board))


@main.command()
@AS_JSON
def strategies(as_json: bool) -> None:
    """List the strategies: prompt, decoding, scorer, aggregator, what each needs of a model."""
    from ambiemo.results import listing

    if as_json:
        terminal.show_json({"strategies": listing.strategies()})
    else:
        terminal.show(listing.strategies_table())


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
@AS_JSON
def models(resolve: bool, plan_file: Path | None, as_json: bool) -> None:
    """List the models: weights, revision, engines, what each can do, what is missing here."""
    if plan_file is not None:
        from ambiemo.models.fetching import fetch
        from ambiemo.plan.schema import read

        specs = [entry.spec() for entry in read(plan_file).every_model]
        done = fetch(specs, lambda line: click.echo(line, err=as_json))
        if as_json:
            rows = [{**asdict(one), "folder": str(one.folder)} for one in done]
            terminal.show_json({"fetched": rows})
        else:
            terminal.show(f"{len(done)} repositories are here")
        return
    if resolve:
        from ambiemo.models import MODELS
        from ambiemo.models.resolving import resolved_lines

        lines = resolved_lines(MODELS.values())
        if as_json:
            terminal.show_json({"resolved": list(lines)})
        else:
            for line in lines:
                terminal.show(line)
        return
    from ambiemo.results import listing

    if as_json:
        terminal.show_json({"models": listing.models()})
    else:
        terminal.show(listing.models_table())


@main.group(cls=Rooms)
def data() -> None:
    """Import corpora as their owners ship them, fetch the open ones, describe them."""


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
@click.argument("corpus", shell_complete=names(commands.corpora))
@click.option(
    "--root", type=click.Path(path_type=Path), help="The corpus' folder, as its owner ships it."
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    required=True,
    help="The Parquet file to write; its manifest goes next to it.",
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
    """Import a corpus as its owner ships it into one Parquet file of utterances.

    Exit 0, or 2 for a folder or row that is not as expected.
    """
    from ambiemo.corpora import importing
    from ambiemo.corpora.options import from_command_line

    manifest = importing.import_corpus(corpus, root, out, from_command_line(options))
    if as_json:
        terminal.show_json(manifest)
    else:
        terminal.show(*importing.lines(manifest, out))


@data.command("fetch")
@click.argument("corpus", shell_complete=names(commands.open_corpora))
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
    """Fetch an openly licensed corpus, each file checked against its pinned hash.

    Exit 0 whole, 1 not whole, 2 not open: says where to ask.
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
    if as_json:
        click.echo(fetching.as_json(fetched))
    else:
        terminal.show(*fetching.lines(fetched))
    sys.exit(0 if fetched.whole else 1)


@data.command("describe")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--rule",
    default="bits",
    show_default=True,
    shell_complete=names(commands.rules),
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
    """Describe an imported corpus: counts, votes per utterance, entropy, ambiguity levels."""
    from ambiemo.corpora import describing
    from ambiemo.corpora.options import from_command_line

    description = describing.describe(describing.read(file), rule, from_command_line(thresholds))
    if as_json:
        terminal.show_json(description)
    else:
        terminal.show(describing.facts(description))


@main.command()
@AS_JSON
def corpora(as_json: bool) -> None:
    """List the corpora: licence, labels, options with defaults, where to get each."""
    from ambiemo.corpora import catalogue

    if as_json:
        terminal.show_json({"corpora": catalogue.rows()})
    else:
        terminal.show(*catalogue.parts())


@main.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the script that lets your shell complete commands, options and names.

    Names are corpora, tables, rows and columns of a bundle, and ambiguity rules.
    """
    from click.shell_completion import get_completion_class

    script = get_completion_class(shell)
    if script is not None:
        click.echo(script(main, {}, "ambiemo", "_AMBIEMO_COMPLETE").source())
