"""What is said and what is answered: sentences, answer texts, the rule of the verifier's score.

The sentences are ours, worded so that they carry no emotion by themselves (as CREMA-D's actors
speak fixed, neutral sentences): what a listener hears in them comes from the voice. The three
splits share no sentence.
"""

import json
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

LABELS = ("anger", "disgust", "fear", "happy", "neutral", "sad")

SENTENCES: Mapping[str, tuple[str, ...]] = {
    "test": (
        "The bus stops near the library.",
        "She put the keys on the shelf.",
        "There are two chairs in the hall.",
        "He will call you after lunch.",
        "The parcel came in the morning.",
        "We moved the table to the left.",
        "I think the shop opens at nine.",
        "They painted the fence last week.",
        "My coat is in the other room.",
        "The meeting is on Tuesday.",
        "You can leave the bag by the door.",
        "It takes an hour to get there.",
    ),
    "validation": (
        "The cups are in the top drawer.",
        "He walked along the river path.",
        "The lamp stands beside the sofa.",
        "She wrote the number on a card.",
        "We can take the road by the mill.",
        "The train was on platform four.",
        "I left the map in the car.",
        "They sell bread at the corner.",
        "The window looks out on the yard.",
        "You asked about the second page.",
        "It was raining in the evening.",
        "The list is longer this time.",
    ),
    "train": (
        "The book is on the kitchen table.",
        "He parked the van across the street.",
        "They will come back on Friday.",
        "I saw a boat on the lake.",
        "The office is on the third floor.",
        "She turned off the radio.",
        "We bought some apples and a melon.",
        "The letter has a blue stamp.",
        "You need a ticket for this show.",
        "My brother works in the garden.",
        "The clock says half past ten.",
        "It is a long way to the station.",
        "There is a pencil in the box.",
        "He read the paper before breakfast.",
        "The children are at school today.",
        "She carried the basket up the stairs.",
        "We talked about the new bridge.",
        "I would like a cup of tea.",
        "They keep the tools in the shed.",
        "The cat sleeps under the chair.",
        "Put the plates on the counter.",
        "The road goes past the farm.",
        "He knows where the switch is.",
        "A man came to fix the roof.",
        "The film begins at eight.",
        "You said it was next month.",
        "I have to wash the car.",
        "The door was open all day.",
        "She is reading the last chapter.",
        "We are going to the market.",
        "They changed the time again.",
        "The snow fell during the night.",
        "He found a coin on the floor.",
        "The shirt is made of cotton.",
        "I told him about the plan.",
        "There were six people in line.",
        "The dog ran over the hill.",
        "She wants to see the house.",
        "Turn right behind the church.",
        "We had soup and some rice.",
        "The phone is on the desk.",
        "You should have seen it.",
        "They built it in one year.",
        "My sister has a green bicycle.",
        "The water in the pot is warm.",
        "He gave me the wrong form.",
        "It will be ready by noon.",
        "The picture hangs on the wall.",
        "I do not know what he said.",
        "She always takes the early bus.",
        "The paint is still wet.",
        "We waited outside the bank.",
        "The garden has a small pond.",
        "They live in the next village.",
        "He forgot to lock the gate.",
        "The story is about a sailor.",
        "You have three new messages.",
        "The store is closed on Sunday.",
        "I will look at it tomorrow.",
        "She works with her uncle.",
        "The music came from upstairs.",
        "Bring the ladder from the barn.",
        "The answer is on page seven.",
        "We took the bags to the hotel.",
        "He has not seen the report.",
        "That is what they told us.",
        "The train leaves in an hour.",
        "Someone left a hat in here.",
        "The plane is over the sea.",
        "I can hear the wind outside.",
        "Maybe we could start again.",
        "Everybody came to the house.",
    ),
}

# The prosody a chain-of-thought answer names: parameter -> (upper bounds, words); the deltas are
# the ones of `speech.Prosody`.
LEVELS: Mapping[str, tuple[tuple[float, ...], tuple[str, ...]]] = {
    "pitch": ((-1.5, 1.8, 4.2), ("low", "medium", "high", "very high")),
    "range": ((-0.3, 0.4), ("flat", "even", "lively")),
    "rate": ((-0.3, -0.1, 0.12, 0.28), ("very slow", "slow", "medium", "fast", "very fast")),
    "loudness": ((-3.5, -1.2, 1.8, 4.0), ("very soft", "soft", "medium", "loud", "very loud")),
}
# Voice quality: the first parameter that passes its threshold by the largest factor names the
# quality.
QUALITIES: Mapping[str, tuple[float, str]] = {
    "tremor": (0.4, "trembling"),
    "roughness": (0.3, "rough"),
    "breathiness": (0.3, "breathy"),
    "tilt": (2.0, "tense"),
}


def shares(votes: Sequence[int] | NDArray[np.int64]) -> NDArray[np.float64]:
    """Votes (K,) -> vote shares (K,), summing to 1. At least one vote is needed."""
    counts = np.asarray(votes, dtype=np.float64)
    return counts / counts.sum()


def twentieths(distribution: Sequence[float] | NDArray[np.float64]) -> NDArray[np.float64]:
    """A distribution (K,) in steps of 0.05 that still sums to 1: what is left over goes to the
    largest remainders (ties to the earlier label).
    """
    exact = np.asarray(distribution, dtype=np.float64) * 20
    whole = np.floor(exact + 1e-9)
    order = np.argsort(-(exact - whole), kind="stable")
    whole[order[: round(20 - float(whole.sum()))]] += 1
    return whole / 20


def direct_answer(distribution: Sequence[float] | NDArray[np.float64]) -> str:
    """The direct answer: one JSON object, labels in order, two decimals (`{"anger": 0.22,
    "disgust": 0.00, ...}`).
    """
    return (
        "{"
        + ", ".join(
            f'"{label}": {value:.2f}' for label, value in zip(LABELS, distribution, strict=True)
        )
        + "}"
    )


def level(parameter: str, value: float) -> str:
    """The word for `value` of a prosody parameter of `LEVELS`."""
    bounds, words = LEVELS[parameter]
    return words[int(np.searchsorted(bounds, value, side="right"))]


def description(prosody: Mapping[str, float]) -> str:
    """What is to be heard in the clip, from its synthesis parameters (deltas from the speaker's
    neutral voice).
    """
    strongest = max(QUALITIES, key=lambda name: prosody[name] / QUALITIES[name][0])
    threshold, word = QUALITIES[strongest]
    quality = word if prosody[strongest] >= threshold else "clear"
    return (
        f"Pitch: {level('pitch', prosody['pitch'])}, {level('range', prosody['range'])}. "
        f"Pace: {level('rate', prosody['rate'])}. "
        f"Loudness: {level('loudness', prosody['loudness'])}. "
        f"Voice: {quality}."
    )


def cot_answer(
    prosody: Mapping[str, float], distribution: Sequence[float] | NDArray[np.float64]
) -> str:
    """The chain-of-thought answer: the description, a line break, the JSON object of the direct
    answer.
    """
    return description(prosody) + "\n" + direct_answer(distribution)


def js_bits(p: NDArray[np.float64], q: NDArray[np.float64]) -> NDArray[np.float64]:
    """Jensen-Shannon divergence in bits over the last axis, in [0, 1]; 0 log 0 = 0. Shapes
    broadcast.
    """
    p, q = np.broadcast_arrays(np.asarray(p, dtype=np.float64), np.asarray(q, dtype=np.float64))
    middle = (p + q) / 2

    def kl(a: NDArray[np.float64]) -> NDArray[np.float64]:
        terms = np.zeros_like(a)
        inside = a > 0
        terms[inside] = a[inside] * np.log2(a[inside] / middle[inside])
        return terms.sum(axis=-1)

    return np.clip((kl(p) + kl(q)) / 2, 0.0, 1.0)


def verifier_score(candidate: NDArray[np.float64], truth: NDArray[np.float64]) -> int:
    """The verifier's target, 0..10: round(10 (1 - sqrt(JS bits))) between candidate (K,) and the
    raters' distribution (K,).

    The root (the JS distance) spreads the scale where candidates are: JS .01 -> 9, .05 -> 8, .2 ->
    6, .5 -> 3, 1 -> 0. The rule is ours.
    """
    return int(np.floor(10 * (1 - np.sqrt(float(js_bits(candidate, truth)))) + 0.5))


def verifier_answer(score: int) -> str:
    """The verifier's answer, `{"score": 7}`."""
    return json.dumps({"score": score})
