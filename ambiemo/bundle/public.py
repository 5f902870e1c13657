"""Corpora whose clips or votes anybody may have: a bundle's utterances are compared with this
package's own copy.

tiny      ids, clips, speakers, lengths and votes: the package ships them. Only where the plan names no other folder
crema-d   ids, clips and speakers, by the pinned manifest, and where all are there, which of them a limit keeps; not the votes
emodb     clips whose hashes are known; speakers and acted labels of all, which the names tell; not which are left out
Raises Broken naming the utterance. `unknown` says what no check here can know.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache

from ambiemo.corpora import crema_d, emodb, tiny
from ambiemo.corpora.utterances import Utterance, load_corpus, sampled
from ambiemo.errors import Broken, shown
from ambiemo.jsonlines import Row
from ambiemo.plan.schema import CorpusEntry

ROWS = "data/inputs/utterances.jsonl"
COUNTS = "data/inputs/corpora.json"
AGAIN = "get the bundle again from its source, or run its plan again"


def check_public(
    entry: CorpusEntry, rows: Sequence[Utterance], description: Row, limit: int | None
) -> None:
    """Raise Broken for an utterance that is not as this package knows it. limit: how many of the
    corpus were to be kept.
    """
    if entry.id == tiny.NAME and not entry.root:
        _check_tiny(entry, rows, description, limit)
    elif entry.id == crema_d.NAME:
        _check_crema_d(rows, description, limit)
    elif entry.id == emodb.NAME:
        _check_emodb(rows, description)


def unknown(entry: CorpusEntry, description: Row) -> str:
    """The parts of a corpus that no check here can know, in words; "" if the package has its own
    copy of everything.
    """
    counts = description["counts"]
    same = f"; {counts['same_clip']} share another's clip" if counts["same_clip"] else ""
    if entry.id == tiny.NAME and not entry.root:
        return ""
    if description["options"].get("votes") is not None:
        return f"votes by a file of the run's own{same}"
    if entry.id == crema_d.NAME:
        other = counts.get("audio_not_as_released", 0)
        left = (
            ""
            if counts["utterances"] >= crema_d.CLIPS - len(crema_d.WRONG_AUDIO)
            else ", which clips are left out"
        )
        return (
            f"votes{left}" + (f"; {other} clips are not the released ones" if other else "") + same
        )
    if entry.id == emodb.NAME:
        return f"which of the {emodb.CLIPS} clips are left out; bytes of the clips whose hashes are not public{same}"
    return f"utterances, clips, speakers and votes{same}"


@cache
def _packaged() -> tuple[Mapping[str, Utterance], tuple[tuple[str, str], ...]]:
    loaded = load_corpus(tiny.NAME)
    return {one.id: one for one in loaded.utterances}, loaded.sources


def _check_tiny(
    entry: CorpusEntry, rows: Sequence[Utterance], description: Row, limit: int | None
) -> None:
    own, sources = _packaged()
    if [tuple(one) for one in description["sources"]] != list(sources):
        raise Broken(
            f"{COUNTS}: corpus tiny: key sources: found others than the packaged file; {AGAIN}"
        )
    if (
        description["counts"]["utterances"] != _kept(len(own), entry.options.get("limit"))
        or description["counts"]["no_vote_in_label_set"]
    ):
        raise Broken(
            f"{COUNTS}: corpus tiny: key counts: found {description['counts']['utterances']} utterances of which "
            f"{description['counts']['no_vote_in_label_set']} without votes, expected {len(own)} and 0, as packaged; {AGAIN}"
        )
    for one in rows:
        ours = own.get(one.id)
        if ours is None:
            raise Broken(
                f"{ROWS}: {shown(one.id, 60)}: found an utterance that the packaged corpus lacks; {AGAIN}"
            )
        for key in ("speaker", "cluster", "audio_sha256", "duration_s", "votes"):
            value, expected = getattr(one, key), getattr(ours, key)
            if value != expected:
                raise Broken(
                    f"{ROWS}: {one.id}: key {key}: found {value!a:.70}, expected {expected!a:.70}, as packaged; {AGAIN}"
                )
    if description["counts"].keys() != load_corpus(tiny.NAME).counts.keys():
        keys = shown(", ".join(sorted(description["counts"])), 300)
        raise Broken(
            f"{COUNTS}: corpus tiny: key counts: found keys {keys}, expected the packaged corpus' own; {AGAIN}"
        )
    options_limit = entry.options.get("limit")
    _check_sample(
        "tiny", [one.id for one in rows], _sample(_sample(sorted(own), options_limit), limit)
    )


def _kept(n: int, limit: int | None) -> int:
    return n if limit is None else min(n, limit)


def _sample(ids: Sequence[str], limit: int | None) -> list[str]:
    return list(ids) if limit is None else [ids[place] for place in sampled(ids, limit)]


def _check_sample(corpus: str, ids: Sequence[str], expected: Sequence[str]) -> None:
    for utterance, wanted in _pairs(ids, expected):
        if utterance != wanted:
            raise Broken(
                f"{ROWS}: corpus {corpus}: found {shown(utterance, 60)} here, expected {wanted}: all utterances of the corpus, "
                f"or those that the limit keeps (by a hash of their ids); {AGAIN}"
            )


def _pairs(ids: Sequence[str], expected: Sequence[str]) -> Iterator[tuple[str, str]]:
    for place in range(max(len(ids), len(expected))):
        yield (
            ids[place] if place < len(ids) else "no more",
            expected[place] if place < len(expected) else "no more",
        )


def _check_crema_d(rows: Sequence[Utterance], description: Row, limit: int | None) -> None:
    known = {
        pin.path.removeprefix("AudioWAV/").removesuffix(".wav"): pin.sha256
        for pin in crema_d.downloads().files
        if pin.path.startswith("AudioWAV/")
    }
    counts, options = description["counts"], description["options"]
    if options["known_wrong_audio"] == "drop":
        known = {name: digest for name, digest in known.items() if name not in crema_d.WRONG_AUDIO}
    other = 0
    for one in rows:
        if one.audio_sha256 or options["audio"] == "required":
            if one.id not in known:
                raise Broken(
                    f"{ROWS}: {shown(one.id, 60)}: found a clip that CREMA-D's manifest lacks; {AGAIN}"
                )
            other += known[one.id] != one.audio_sha256
        speaker = one.id.split("_")[0]
        if not crema_d.CLIP.fullmatch(one.id) or (one.speaker, one.cluster) != (speaker, speaker):
            raise Broken(
                f"{ROWS}: {shown(one.id, 60)}: found speaker {shown(one.speaker, 20)!r}, cluster {shown(one.cluster, 20)!r}, "
                f"expected {speaker!a:.20}, as the clip is called; {AGAIN}"
            )
    count = counts.get("audio_not_as_released", 0)
    if other > count or (limit is None and other != count):
        raise Broken(
            f"{COUNTS}: corpus crema-d: key counts.audio_not_as_released: found {count}, expected {other}: so many clips are "
            f"not those of CREMA-D's manifest; {AGAIN}"
        )
    for pinned in crema_d.downloads().files:
        if pinned.path == crema_d.VOTES and not any(
            path == crema_d.VOTES for path, _ in description["sources"]
        ):
            raise Broken(
                f"{COUNTS}: corpus crema-d: key sources: found no {crema_d.VOTES}, expected it; {AGAIN}"
            )
    whole = counts["utterances"] == len(known) and not counts["no_vote_in_label_set"]
    if whole and not options.get("splits") and options["audio"] == "required":
        _check_sample("crema-d", [one.id for one in rows], _sample(sorted(known), limit))


def _check_emodb(rows: Sequence[Utterance], description: Row) -> None:
    known = {
        pin.path.rsplit("/", 1)[-1].removesuffix(".wav"): pin.sha256
        for pin in emodb.downloads().files
    }
    for one in rows:
        if not emodb.CLIP.fullmatch(one.id) or (one.speaker, one.cluster) != (
            one.id[:2],
            one.id[:2],
        ):
            raise Broken(
                f"{ROWS}: {shown(one.id, 60)}: found a clip or a speaker that EmoDB lacks; {AGAIN}"
            )
        if one.audio_sha256 and known.get(one.id, one.audio_sha256) != one.audio_sha256:
            raise Broken(
                f"{ROWS}: {one.id}: key audio_sha256: found another clip than the released one; {AGAIN}"
            )
        if description["options"].get("votes") is None:
            acted = emodb.LETTERS[one.id[5]]
            if one.votes != tuple(int(label == acted) for label in emodb.LABELS):
                raise Broken(
                    f"{ROWS}: {one.id}: key votes: found {list(one.votes)}, expected {acted}, as the clip is called; {AGAIN}"
                )
