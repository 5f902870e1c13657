"""Ray nodes for tests: commands that start them, with patience for a busy machine."""

import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

PATIENCE_S = 600
"""An upper bound for a run of seconds: a busy machine needs minutes to start Ray."""
LEAN = {"include_log_monitor": False, "object_store_memory": 100 * 2**20}
"""What every node of a test is told; a head also takes LEAN_HEAD. Each process less is seconds less."""
LEAN_HEAD = {"include_dashboard": False, "no_monitor": True, **LEAN}
TOO_BUSY = ("timed out during startup", "Ray did not start on this machine")
"""What Ray says where a machine is too busy to start a node within its 30 s."""


def patiently(command: list[str], tries: int = 4, **options: Any) -> subprocess.CompletedProcess:
    """Run a command that starts Ray nodes, again where the machine was too busy for them."""
    for _ in range(tries):
        done = subprocess.run(command, capture_output=True, text=True, **options)
        if not any(words in done.stdout + done.stderr for words in TOO_BUSY):
            break
    return done


def crema_d(root: Path, clips: int = 8) -> Path:
    """A CREMA-D folder of so many clips that can be heard."""
    (root / "AudioWAV").mkdir(parents=True)
    (root / "processedResults").mkdir()
    lines = ['"","A","D","F","H","N","S","fileName","numResponses","agreement","emoVote"']
    for number in range(1, clips + 1):
        name, others = f"10{number:02}_IEO_ANG_HI", 20 - number
        tone = 0.2 * np.sin(np.arange(8_000) * 0.01 * number)
        soundfile.write(root / "AudioWAV" / f"{name}.wav", tone, 16_000)
        lines.append(
            f'"{100_000 + number}",{number},0,0,0,{others},0,"{name}",20,{others / 20},"N"'
        )
    text = "\n".join(lines) + "\n"
    (root / "processedResults/tabulatedVotes.csv").write_text(text, encoding="utf-8")
    return root
