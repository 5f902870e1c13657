"""The corpora: one file each, from the owner's folder to the utterance table (`columns.SCHEMA`).

To add one, write its file (`CorpusFile` says what it defines) and add its row to CORPORA. Nothing
heavy is imported until a corpus is used.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

from ambiemo.errors import BadInput, nearest

if TYPE_CHECKING:
    from pydantic import BaseModel

    from ambiemo.corpora.columns import Imported


class CorpusFile(Protocol):
    """What the file of a corpus defines, as module attributes.

    NAME: the name of its row.
    LAYOUT: what the owner's folder contains, in words, for errors and `ambiemo corpora`.
    CLIP: matches the name of a clip, without folder and suffix. No other corpus' CLIP matches it.
    Options: the options a plan may give, a subclass of `options.CommonOptions`.
    downloads() -> `pins.Downloads`: optional; the files that `ambiemo data fetch` checks.
    """

    NAME: str
    LAYOUT: str
    CLIP: re.Pattern[str]
    Options: "type[BaseModel]"

    def label_set(self, options: Any) -> tuple[str, ...]:
        """The labels that the table has under these options."""

    def looks_like(self, root: Path) -> bool:
        """True if `root` is a folder of this corpus. Must be quick: it also sees wrong folders."""

    def load(self, root: Any, options: Any) -> "Imported":
        """The utterance table of `root`. Raises BadInput naming a file and line it cannot read."""


@dataclass(frozen=True)
class Corpus:
    """A corpus of the registry: what a user must know before having it. The rest is in its file.

    module: the file. open: True if `ambiemo data fetch` may download it.
    votes: True if several raters judged each clip. Without votes the truth is an acted label, the
    level is "clear-cut", and no claim about ambiguity can rest on it.
    where: how to get it.
    """

    name: str
    title: str
    module: str
    licence: str
    open: bool
    votes: bool
    where: str

    @property
    def file(self) -> CorpusFile:
        """The corpus' module, imported."""
        return cast(CorpusFile, import_module(self.module))


CORPORA: dict[str, Corpus] = {
    row.name: row
    for row in (
        Corpus(
            name="tiny",
            title="the embedded default: synthetic speech, simulated raters",
            module="ambiemo.corpora.tiny",
            licence="Apache-2.0",
            open=True,
            votes=True,
            where="ships with the package",
        ),
        Corpus(
            name="iemocap",
            title="IEMOCAP, USC SAIL",
            module="ambiemo.corpora.iemocap",
            licence="on request, not redistributable",
            open=False,
            votes=True,
            where="sign and send the release form of https://sail.usc.edu/iemocap/",
        ),
        Corpus(
            name="msp-podcast",
            title="MSP-Podcast, UT Dallas MSP lab",
            module="ambiemo.corpora.msp_podcast",
            licence="on request, not redistributable",
            open=False,
            votes=True,
            where="ask for the licence agreement at https://ecs.utdallas.edu/research/researchlabs/msp-lab/MSP-Podcast.html",
        ),
        Corpus(
            name="crema-d",
            title="CREMA-D, Cheyney University and University of Pennsylvania",
            module="ambiemo.corpora.crema_d",
            licence="ODbL 1.0, contents DbCL 1.0",
            open=True,
            votes=True,
            where="`ambiemo data fetch crema-d --root DIR` (https://github.com/CheyneyComputerScience/CREMA-D)",
        ),
        Corpus(
            name="emov-db",
            title="EmoV-DB, OpenSLR 115",
            module="ambiemo.corpora.emov_db",
            licence="non-commercial",
            open=True,
            votes=False,
            where="https://www.openslr.org/115/",
        ),
        Corpus(
            name="emodb",
            title="EmoDB, Berlin (Burkhardt et al. 2005)",
            module="ambiemo.corpora.emodb",
            licence="CC0 by one distributor, CC BY 4.0 by another: attribute Burkhardt et al. 2005",
            open=True,
            votes=False,
            where="http://www.emodb.bilderbar.info/download/",
        ),
        Corpus(
            name="own",
            title="your own clips: a CSV and audio files",
            module="ambiemo.corpora.own",
            licence="yours",
            open=False,
            votes=True,
            where="write the CSV (docs/corpora.md, Your own clips), or `ambiemo init PLAN --csv FILE`",
        ),
    )
}


def corpus(name: str) -> Corpus:
    """The registry's row of a name. Raises BadInput, with the nearest name, for an unknown one."""
    if name in CORPORA:
        return CORPORA[name]
    hint = nearest(name.lower().replace("_", "-"), CORPORA)
    raise BadInput(f"corpus '{name}': unknown; {hint}")


def load(
    name: str, root: Path | str | None = None, options: Mapping[str, Any] | None = None
) -> "Imported":
    """Load a corpus from the folder its owner ships.

    root: the folder; None for the tiny corpus, which ships with the package.
    options: as a plan spells them. The defaults are a run's: only utterances with audio are kept,
    and a clip that cannot be decoded stays as a row that will fail and be counted.
    Raises BadInput for an unknown corpus or option, a folder that is not this corpus, and any row
    that does not parse (file and line).
    """
    row = corpus(name)
    if root is None and name != "tiny":
        raise BadInput(
            f"corpus '{name}': no folder given; expected one that contains {row.file.LAYOUT}; "
            f"get it: {row.where}"
        )
    return row.file.load(None if root is None else Path(root), parsed(name, options))


def label_set(name: str, options: Mapping[str, Any] | None = None) -> tuple[str, ...]:
    """The labels of a corpus under options as a plan spells them; its folder need not be here.

    A user's own votes file (option `votes` of an acted corpus) may bring other labels; it is not
    read. Raises BadInput for an unknown corpus or option.
    """
    return corpus(name).file.label_set(parsed(name, options))


def parsed(name: str, options: Mapping[str, Any] | None = None) -> "BaseModel":
    """A corpus' options and defaults. Raises BadInput for an unknown corpus or option."""
    from ambiemo.corpora.options import parse

    return parse(corpus(name).file.Options, options or {}, f"corpus '{name}'")
