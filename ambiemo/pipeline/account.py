"""What a run did: counted while it goes, kept in the bundle's log."""

from dataclasses import dataclass, field


@dataclass
class Account:
    """What a run did.

    calls       draws sent to an engine by this run
    reused      draws that the store had answers to
    failed      draws of this run that brought no answer
    seconds     of each stage; models run side by side, so the stages do not add up to `all`
    dollars     by model: what this run's draws cost by its server's prices
    stopped     by model: why it stopped or could not be loaded
    barren      by model: why nearly all of its draws failed, or its ceiling of dollars was reached
    """

    calls: int = 0
    reused: int = 0
    failed: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    dollars: dict[str, float] = field(default_factory=dict)
    stopped: dict[str, str] = field(default_factory=dict)
    barren: dict[str, str] = field(default_factory=dict)

    @property
    def complaints(self) -> list[str]:
        """One line for each model that brought no column, or one full of failures."""
        return [
            f"model {name}: {why}"
            for reasons in (self.stopped, self.barren)
            for name, why in sorted(reasons.items())
        ]
