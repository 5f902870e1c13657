"""`ambiemo conform`: a short conformance test of a model on the embedded clips, as a card."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ambiemo.draws import Answer
from ambiemo.errors import AmbiemoError
from ambiemo.pipeline.trial import in_this_process
from ambiemo.plan import sharing
from ambiemo.plan.expand import Expanded, expand
from ambiemo.plan.schema import Plan, check, read
from ambiemo.smoke.advice import advised
from ambiemo.smoke.checks import CHECKS, Evidence, Finding, judged
from ambiemo.smoke.probes import PROBES, asked, judgements
from ambiemo.terminal import Facts, Part

CLIPS = 4
CEILING = 1.0


@dataclass(frozen=True)
class Card:
    """What a model showed, one finding per check in the table's order.

    dollars: what it cost, None without a price.
    """

    model: str
    engine: str
    weights: str
    revision: str
    loaded_s: float
    dollars: float | None
    findings: dict[str, Finding]

    @property
    def holds(self) -> bool:
        """Whether no check failed."""
        return not any(one.verdict == "failed" for one in self.findings.values())

    def as_object(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self) | {"holds": self.holds}

    def parts(self) -> list[Part]:
        """For a person: the model, and one fact per check."""
        cost = "" if self.dollars is None else f", ${self.dollars:.4f}"
        wide = max(map(len, self.findings))
        head = f"{self.model}  {self.engine}, {self.weights} ({self.revision[:12] or 'no revision'}), loaded in {self.loaded_s:.1f} s{cost}"
        checks = tuple(
            (f"{one.verdict:7}  {name:{wide}}", one.said) for name, one in self.findings.items()
        )
        return [Facts(head, checks)]


def conform(target: str, ceiling: float = CEILING) -> list[Card]:
    """One card per model: `target` is a model's id, or a plan.

    ceiling: dollars that each priced model may cost. Raises BadInput for a target that is neither.
    """
    plan = _plan(target)
    expanded = expand(plan)
    return [_card(expanded, model, ceiling) for model in expanded.specs]


def _plan(target: str) -> Plan:
    """The models of `target` with the embedded clips and one strategy: what else the plan asks does
    not matter here.
    """
    if Path(target).suffix in (".yaml", ".yml") or Path(target).is_file():
        given = read(Path(target))
        entries = [
            entry.model_copy(update={"options": _options(entry.options)})
            for entry in given.asked_models
        ]
        settings = {"seed": given.seed, "sampling": given.sampling, "max_tokens": given.max_tokens}
    else:
        entries, settings = [], {}
    bare = {
        "name": "conform",
        "corpora": [{"id": "tiny", "limit": CLIPS}],
        "strategies": ["greedy"],
        "models": ["tiny"],
    }
    plan = check(bare, "conform")
    if not entries:
        entries = list(check({**bare, "models": [{"id": target}]}, "conform").models)
    return plan.model_copy(update={"models": tuple(entries), **settings})


def _options(options: dict[str, Any]) -> dict[str, Any]:
    """A plan's options without its ceiling and its journal: this is another run."""
    return {name: one for name, one in options.items() if name not in ("journal", "max_dollars")}


def _card(expanded: Expanded, model: str, ceiling: float) -> Card:
    spec, engine, entry = expanded.specs[model], expanded.engine(model), expanded.entry(model)
    facts = {
        "model": model,
        "engine": engine,
        "weights": "a folder" if spec.weights.startswith("file:") else spec.weights,
        "revision": spec.revision or "",
    }
    missing = [item for item in expanded.missing if item.id == model]
    if missing:
        why = Finding("failed", f"{missing[0].what}; {missing[0].do}")
        return Card(**facts, loaded_s=0.0, dollars=None, findings={"loads": why})
    options = dict(entry.options)
    if engine == "openai" and spec.price is not None:
        options["max_dollars"] = ceiling
    by_probe: dict[str, Sequence[Answer]] = {}
    loaded_s, stopped = 0.0, ""
    try:
        with in_this_process(spec, engine, options) as asker:
            loaded_s = asker.loaded.seconds
            clips = list(sharing.distinct(expanded.corpora["tiny"].utterances))
            for probe in PROBES:
                by_probe |= asked(asker, [probe.name], expanded, model, "tiny", clips)
            if "verifier" in spec.can(engine):
                by_probe["judged"] = judgements(
                    asker, by_probe["greedy"], expanded, model, "tiny", clips
                )
    except AmbiemoError as error:
        stopped = str(error)
    findings = {}
    if stopped:
        findings["loads" if not by_probe else "goes on"] = Finding("failed", advised(stopped))
    seen = Evidence(
        engine,
        expanded.corpora["tiny"].labels,
        spec.can(engine),
        spec.accepts.seed or engine != "openai",
        answers=by_probe,
    )
    if by_probe:
        findings |= {one.name: judged(one, seen) for one in CHECKS}
    spent = sum(one.extra.get("dollars", 0.0) for answers in by_probe.values() for one in answers)
    return Card(
        **facts, loaded_s=loaded_s, dollars=spent if spec.price else None, findings=findings
    )
