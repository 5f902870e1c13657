"""Says what a Dockerfile lacks to be rebuilt as it was: `make lint` runs it next to hadolint,
which does not look at these.

    python reproduce/check_dockerfile.py Dockerfile

Every base is pinned by a digest that looks drawn by SHA-256 (a placeholder such as 0000… or
deadbeef… does not), packages come from a lock with hashes, the last user is not root, and nothing
needs a newer builder (heredocs, COPY --link). Exit 0, or 1 with one line for each finding.
"""

import re
import sys
from pathlib import Path


def findings(text: str) -> list[str]:
    """What is wrong with a Dockerfile's text; empty when nothing is."""
    lines = [line for line in _joined(text) if not line.startswith("#")]
    defaults = dict(re.findall(r"^ARG\s+(\w+)=(\S*)", "\n".join(_until_from(lines)), re.M))
    wrong: list[str] = []
    stages: set[str] = set()
    users: dict[str, str] = {}
    stage = ""
    for line in lines:
        word, _, rest = line.partition(" ")
        match word.upper():
            case "FROM":
                parts = rest.split()
                image = re.sub(r"\$\{?(\w+)\}?", lambda name: defaults.get(name[1], ""), parts[0])
                stage = parts[2] if len(parts) == 3 else parts[0]
                if image not in stages and (why := unpinned(image)):
                    wrong.append(f"FROM {parts[0]}: {image or 'no default'}: {why}")
                stages.add(stage)
                users[stage] = users.get(image, "root")
            case "USER":
                users[stage] = rest.strip()
            case "COPY" | "ADD" if "--link" in rest:
                wrong.append(f"{line[:60]}: --link needs a newer builder; leave it out")
            case "RUN" if re.search(r"pip3? install", rest):
                for call in re.findall(r"pip3? install[^&;|]*", rest):
                    if "--require-hashes" not in call and (
                        "--no-deps" not in call or " -r " in call
                    ):
                        wrong.append(f"{call.strip()[:60]}: packages without --require-hashes")
        if "<<" in line:
            wrong.append(f"{line[:60]}: a heredoc needs a newer builder; leave it out")
    wrong += [
        f"stage {name}: runs as root; end it with USER"
        for name, user in users.items()
        if user.split(":")[0] in ("root", "0")
    ]
    return wrong or ([] if users else ["no FROM"])


def unpinned(image: str) -> str:
    """Why an image reference is not pinned ("" = it is). A real SHA-256 in 64 hex digits shows 12
    or more different ones.
    """
    digest = re.search(r"@sha256:(.*)$", image)
    if not digest:
        return "not pinned by digest; expected NAME:TAG@sha256:<64 hex digits>"
    if not re.fullmatch(r"[0-9a-f]{64}", digest[1]):
        return "the digest is not 64 hex digits"
    if len(set(digest[1])) < 12 or re.search(
        r"(.)\1{7}|(.{4,16})\2\2|0123456789|123456789a|abcdef0|deadbeef", digest[1]
    ):
        return "the digest is a placeholder"
    return ""


def _joined(text: str) -> list[str]:
    kept = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    return [line.strip() for line in re.sub(r"\\\n", " ", kept).splitlines() if line.strip()]


def _until_from(lines: list[str]) -> list[str]:
    first = next(
        (i for i, line in enumerate(lines) if line.upper().startswith("FROM ")), len(lines)
    )
    return lines[:first]


if __name__ == "__main__":
    problems = [
        f"{name}: {one}"
        for name in sys.argv[1:]
        for one in findings(Path(name).read_text(encoding="utf-8"))
    ]
    print("\n".join(problems), file=sys.stderr, end="\n" if problems else "")
    sys.exit(1 if problems else 0)
