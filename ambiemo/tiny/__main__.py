"""`python -m ambiemo.tiny [clips|train|evaluate|all]`: remake the embedded default from its seeds.

clips     speaks the 96 test clips again (seconds; needs espeak-ng)
train     synthesises the training clips and trains the checkpoint (about an hour on 2 cores, most of it training)
evaluate  measures the checkpoint and writes evaluation.json, which README.md next to it quotes (minutes)
all       the three in turn (the default)
"""

import shutil
from pathlib import Path

import click

from ambiemo.tiny import clips as test_clips
from ambiemo.tiny import truth
from ambiemo.tiny.speech import synthesiser

PARTS = ("clips", "train", "evaluate")


@click.command(help=__doc__)
@click.argument("part", type=click.Choice([*PARTS, "all"]), default="all")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path(__file__).parent,
    help="where clips/, checkpoint/ and evaluation.json go",
)
@click.option(
    "--work",
    type=click.Path(path_type=Path),
    default=Path(".tiny-work"),
    help="training features, log and state; may be deleted",
)
@click.option("--resume", is_flag=True, help="go on with the training whose state is in --work")
def main(part: str, out: Path, work: Path, resume: bool) -> None:
    chosen = PARTS if part == "all" else (part,)
    if chosen != ("evaluate",):
        click.echo(synthesiser())
    if "clips" in chosen:
        click.echo(f"{test_clips.remake(out / 'clips')} clips in {out / 'clips'}")
        click.echo(f"{truth.remake(out)} true distributions in {out / truth.FILE}")
    if "train" in chosen:
        from ambiemo.tiny import training

        finished = training.train(work, resume=resume)
        shutil.copytree(finished, out / "checkpoint", dirs_exist_ok=True)
        click.echo(f"checkpoint in {out / 'checkpoint'}")
    if "evaluate" in chosen:
        from ambiemo.tiny import evaluation

        report = evaluation.evaluate(work, out / "checkpoint", out / "evaluation.json")
        click.echo(
            f"test clips: JS {report['test']['direct']['js_bits'][0]} bits; report in {out / 'evaluation.json'}"
        )


if __name__ == "__main__":
    main()
