"""The corpora: one file each, from the owner's folder to the utterance table (`columns.SCHEMA`).

Nothing heavy is imported until a corpus is loaded.
"""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ambiemo.errors import BadInput

if TYPE_CHECKING:
    from pydantic import BaseModel

    from ambiemo.corpora.columns import Imported


@dataclass(frozen=True)
class Corpus:
    """A corpus of the registry.

    module: where `Options` (pydantic) and `load(root, options) -> Imported` are. votes: whether several raters
    judged each clip; without them the truth is an acted label, the level "clear-cut", and no claim about ambiguity
    can rest on it. open: whether `ambiemo data fetch` may download it. where: how to get it. put: what the folder
    must hold.
    """

    name: str
    title: str
    module: str
    licence: str
    open: bool
    votes: bool
    labels: str
    where: str
    put: str

    @property
    def options(self) -> "type[BaseModel]":
        """The pydantic class of the corpus' options."""
        return import_module(self.module).Options


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
            labels="six",
            where="ships with the package",
            put="nothing",
        ),
        Corpus(
            name="iemocap",
            title="IEMOCAP, USC SAIL",
            module="ambiemo.corpora.iemocap",
            licence="on request, not redistributable",
            open=False,
            votes=True,
            labels="four",
            where="sign and send the release form of https://sail.usc.edu/iemocap/",
            put="Session1 … Session5, each with dialog/EmoEvaluation, dialog/transcriptions and sentences/wav",
        ),
        Corpus(
            name="msp-podcast",
            title="MSP-Podcast, UT Dallas MSP lab",
            module="ambiemo.corpora.msp_podcast",
            licence="on request, not redistributable",
            open=False,
            votes=True,
            labels="four",
            where="ask for the licence agreement at https://ecs.utdallas.edu/research/researchlabs/msp-lab/MSP-Podcast.html",
            put="Labels/labels_consensus.csv and Labels/labels_detailed.csv, Audios/*.wav, Transcripts/*.txt",
        ),
        Corpus(
            name="crema-d",
            title="CREMA-D, Cheyney University and University of Pennsylvania",
            module="ambiemo.corpora.crema_d",
            licence="ODbL 1.0, contents DbCL 1.0",
            open=True,
            votes=True,
            labels="six",
            where="`ambiemo data fetch crema-d --root DIR` (https://github.com/CheyneyComputerScience/CREMA-D)",
            put="processedResults/tabulatedVotes.csv and AudioWAV/*.wav",
        ),
        Corpus(
            name="emov-db",
            title="EmoV-DB, OpenSLR 115",
            module="ambiemo.corpora.emov_db",
            licence="non-commercial",
            open=True,
            votes=False,
            labels="emov-db",
            where="https://www.openslr.org/115/",
            put="one folder a speaker and style (such as bea_Amused), each with <style>_<range>_<number>.wav",
        ),
        Corpus(
            name="emodb",
            title="EmoDB, Berlin (Burkhardt et al. 2005)",
            module="ambiemo.corpora.emodb",
            licence="CC0 by one distributor, CC BY 4.0 by another: attribute Burkhardt et al. 2005",
            open=True,
            votes=False,
            labels="emodb",
            where="http://www.emodb.bilderbar.info/download/",
            put="wav/*.wav and, for the share of listeners, erkennung.txt",
        ),
    )
}


def corpus(name: str) -> Corpus:
    """The registry's row of a name. Raises BadInput, with the nearest name, for one it does not have."""
    if name in CORPORA:
        return CORPORA[name]
    near = difflib.get_close_matches(name.lower().replace("_", "-"), CORPORA, n=1)
    hint = f"did you mean '{near[0]}'?" if near else f"there are {', '.join(CORPORA)}"
    raise BadInput(f"corpus '{name}': unknown; {hint}")


def load(name: str, root: Path | str | None = None, options: Mapping[str, Any] | None = None) -> "Imported":
    """A corpus from the folder its owner ships (`root`; None for the tiny one), by options as a plan spells them.

    Defaults are a run's: only utterances with audio, a bad clip kept as a row that will fail and be counted. Raises
    BadInput for an unknown corpus or option, a folder that is not this corpus, and any row that does not parse
    (file and line).
    """
    from ambiemo.corpora.options import parse

    row = corpus(name)
    if root is None and name != "tiny":
        raise BadInput(f"corpus '{name}': no folder given; expected one that holds {row.put}; get it: {row.where}")
    module = import_module(row.module)
    return module.load(None if root is None else Path(root), parse(module.Options, options or {}, f"corpus '{name}'"))
