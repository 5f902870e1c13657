"""Time and memory of importing a label set of MSP-Podcast's size: 150,000 utterances, 650,000
ratings.

    python reproduce/bench/import_msp_podcast.py [--format v2.0|v1.11|v1.6] [--utterances N]
[--ratings N] [--out FILE.json]

Writes label files in the owner's format (random labels, seeded; no audio) into a temporary folder,
imports them by the command line in a process of its own, and prints one JSON object: seconds, peak
memory of that process, and what was imported. The promise is under 60 s and 2 GB on 2 cores. Takes
some 10 s, most of it making the files.
"""

import argparse
import json
import platform
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from record import record

PRIMARY = (
    "Neutral",
    "Happy",
    "Sad",
    "Angry",
    "Contempt",
    "Surprise",
    "Disgust",
    "Fear",
    "Other-Curious",
    "Other",
)
WEIGHTS = (40, 22, 8, 8, 5, 5, 4, 2, 4, 2)
SECONDARY = (
    "Neutral",
    "Happy",
    "Concerned",
    "Annoyed",
    "Amused",
    "Frustrated",
    "Excited",
    "Confused",
    "Other-Curious",
)
SPLITS = ("Train",) * 12 + ("Development", "Test1", "Test1", "Test2")


def make(root: Path, utterances: int, ratings: int, layout: str) -> None:
    """Label files of so many utterances and ratings in one of the owner's three formats."""
    draw = random.Random(20260201)
    labels = root / "Labels"
    labels.mkdir(parents=True)
    (root / "Audios").mkdir()
    names = [f"MSP-PODCAST_{i // 40:04d}_{i % 40:04d}.wav" for i in range(utterances)]
    with open(labels / "labels_consensus.csv", "w", encoding="utf-8", newline="\n") as file:
        file.write("FileName,EmoClass,EmoAct,EmoVal,EmoDom,SpkrID,Gender,Split_Set\n")
        for i, name in enumerate(names):
            speaker = "Unknown" if i % 9 == 0 else str(i // 97)
            file.write(
                f"{name},{'NHSACUDFOX'[i % 10]},4.2,3.8,4.4,{speaker},Male,{SPLITS[i // 40 % len(SPLITS)]}\n"
            )
    heads = {
        "v1.6": "FileName,Workers,EmoClass_Major,EmoClass_Second,EmoAct,EmoVal,EmoDom\n",
        "v1.11": "FileName,EmoDetail\n",
        "v2.0": "FileName,WorkerID,EmoClass_Major,EmoClass_Second,EmoAct,EmoVal,EmoDom\n",
    }
    with open(labels / "labels_detailed.csv", "w", encoding="utf-8", newline="\n") as file:
        file.write(heads[layout])
        for i in range(ratings):
            name, worker = names[i % utterances], f"WORKER{draw.randrange(15000):07d}"
            major = draw.choices(PRIMARY, WEIGHTS)[0]
            second = ",".join(draw.sample(SECONDARY, draw.randrange(1, 4)))
            a, v, d = (draw.randrange(1, 8) for _ in range(3))
            if layout == "v1.11":
                file.write(
                    f'{name},"{worker}; {major}; {second}; A:{a}.000000; V:{v}.000000; D:{d}.000000;"\n'
                )
            else:
                file.write(f'{name},{worker},{major},"{second}",{a},{v},{d}\n')


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--format", choices=("v1.6", "v1.11", "v2.0"), default="v2.0")
    parser.add_argument("--utterances", type=int, default=150_000)
    parser.add_argument("--ratings", type=int, default=650_000)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root, out = Path(folder) / "MSP-Podcast", Path(folder) / "utterances.parquet"
        make(root, given.utterances, given.ratings, given.format)
        command = [
            sys.executable,
            "-m",
            "ambiemo",
            "data",
            "import",
            "msp-podcast",
            "--root",
            str(root),
            "--out",
            str(out),
        ]
        started = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        seconds = time.perf_counter() - started
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        peak = used.ru_maxrss * (1 if platform.system() == "Darwin" else 1024)
        manifest = json.loads(out.with_suffix(".manifest.json").read_text(encoding="utf-8"))
        report = {
            "format": given.format,
            "utterances": given.utterances,
            "ratings": given.ratings,
            "label_bytes": sum(path.stat().st_size for path in (root / "Labels").iterdir()),
            "seconds": round(seconds, 2),
            "cpu_seconds": round(used.ru_utime + used.ru_stime, 2),
            "peak_rss_mib": round(peak / 2**20, 1),
            "parquet_bytes": out.stat().st_size,
            "counts": manifest["counts"],
        }
    record("import_msp_podcast", report, given.out)


if __name__ == "__main__":
    main()
