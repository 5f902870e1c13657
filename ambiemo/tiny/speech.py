"""Emotional speech from espeak-ng: prosody profiles, voices, clips.

A clip portrays one emotion or a mix of two. Every emotion has a profile: how its prosody differs
from the same speaker's neutral voice. A mix is the weighted mean of its profiles, scaled by the
intensity, plus the spread of one performance. espeak-ng speaks with that pitch, range and rate;
what it cannot do (pitch slope, tremor, roughness, spectral tilt, breathiness, loudness) is applied
to its samples here.

The directions of the profiles come from
  - I. R. Murray & J. L. Arnott (1993), "Toward the simulation of emotion in synthetic speech", JASA 93(2): the table of rate, pitch
    average, pitch range, intensity, voice quality for anger, happiness, sadness, fear, disgust, relative to neutral speech;
  - R. Banse & K. R. Scherer (1996), "Acoustic profiles in vocal emotion expression", J. Pers. Soc. Psychol. 70(3): energy and spectral balance;
  - P. N. Juslin & P. Laukka (2003), "Communication of emotions in vocal expression and music performance", Psychol. Bull. 129(5): rate, level,
    high-frequency energy, variability of pitch;
  - F. Burkhardt & W. F. Sendlmeier (2000), "Verification of acoustical correlates of emotional speech using formant-synthesis", ISCA
    workshop on Speech and Emotion: voice quality by synthesis (tremor, tense and breathy voice).
The numbers are ours, chosen to keep the directions and to be audible through this synthesiser; no
figure of these papers is copied.
"""

import io
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields

import numpy as np
from numpy.typing import NDArray

from ambiemo.corpora.audio import RATE
from ambiemo.errors import BadInput, Broken
from ambiemo.seeds import seed
from ambiemo.tiny.texts import LABELS, SENTENCES

RATE_HZ = RATE
MAX_S = 3.8
REFERENCE_DBFS = -27.0
WORDS_PER_MINUTE = 178


@dataclass(frozen=True)
class Prosody:
    """Difference from the speaker's neutral voice.

    pitch and slope in semitones (slope: end minus start), range and rate in octaves (log2 of the
    factor), loudness in dB, tilt in dB per octave around 1 kHz, tremor in semitones of depth at
    about 6 Hz, breathiness and roughness from 0 to 1.
    """

    pitch: float = 0.0
    range: float = 0.0
    rate: float = 0.0
    loudness: float = 0.0
    tilt: float = 0.0
    slope: float = 0.0
    breathiness: float = 0.0
    roughness: float = 0.0
    tremor: float = 0.0


PROFILES: Mapping[str, Prosody] = {
    # louder, higher, wide, a bit faster, energy in the highs, tense (Murray & Arnott; Banse &
    # Scherer: hot anger)
    "anger": Prosody(
        pitch=3.0,
        range=0.8,
        rate=0.18,
        loudness=6.0,
        tilt=3.5,
        slope=-1.0,
        breathiness=0.05,
        roughness=0.25,
    ),
    # very much slower and lower, grumbling, wide falls at the end (Murray & Arnott)
    "disgust": Prosody(
        pitch=-3.0,
        range=0.15,
        rate=-0.42,
        loudness=-1.0,
        tilt=-1.0,
        slope=-3.5,
        breathiness=0.1,
        roughness=0.6,
    ),
    # much faster, very much higher, irregular voicing (Murray & Arnott); tremor (Burkhardt &
    # Sendlmeier); little pitch variation (Juslin & Laukka)
    "fear": Prosody(
        pitch=6.0,
        range=-0.35,
        rate=0.38,
        loudness=-0.5,
        tilt=1.0,
        slope=1.0,
        breathiness=0.25,
        roughness=0.1,
        tremor=1.0,
    ),
    # higher, much wider, smooth upward inflections, louder (Murray & Arnott); fast (Juslin &
    # Laukka)
    "happy": Prosody(
        pitch=4.5, range=0.9, rate=0.14, loudness=3.0, tilt=1.5, slope=3.0, breathiness=0.05
    ),
    "neutral": Prosody(),
    # slower, lower, narrow, softer, downward, little energy in the highs (Murray & Arnott; Juslin &
    # Laukka); breathy (Burkhardt & Sendlmeier)
    "sad": Prosody(
        pitch=-1.5,
        range=-0.8,
        rate=-0.25,
        loudness=-5.5,
        tilt=-3.0,
        slope=-1.5,
        breathiness=0.6,
        tremor=0.15,
    ),
}
# Standard deviation of one performance around its profile.
SPREAD = Prosody(
    pitch=0.6,
    range=0.12,
    rate=0.05,
    loudness=0.8,
    tilt=0.4,
    slope=0.5,
    breathiness=0.05,
    roughness=0.05,
    tremor=0.08,
)

ACCENTS = (
    "en-us",
    "en-gb",
    "en-gb-scotland",
    "en-gb-x-rp",
    "en-gb-x-gbclan",
    "en-029",
    "en-us-nyc",
    "en-gb-x-gbcwmd",
)
# espeak-ng's voice variants, by split: no variant speaks in two splits, and near copies of one
# another stay together. fmt: off
VARIANTS: Mapping[str, tuple[str, ...]] = {
    "test": (
        "m2",
        "m8",
        "f1",
        "f4",
        "Alicia",
        "belinda",
        "paul",
        "victor",
        "Marco",
        "michel",
        "shelby",
        "david",
    ),
    "validation": ("m4", "f3", "Annie", "Nguyen", "Denis", "quincy", "antonio", "ed"),
    "train": (
        "m1",
        "m3",
        "m5",
        "m6",
        "f2",
        "f5",
        "Alex",
        "adam",
        "anika",
        "Andrea",
        "Andy",
        "aunty",
        "benjamin",
        "boris",
        "caleb",
        "Diogo",
        "edward",
        "edward2",
        "Gene",
        "Gene2",
        "grandma",
        "grandpa",
        "gustave",
        "Henrique",
        "Hugo",
        "iven",
        "iven3",
        "Jacky",
        "john",
        "kaukovalta",
        "Lee",
        "max",
        "Mario",
        "Michael",
        "Mike",
        "Mr serious",
        "norbert",
        "pablo",
        "pedro",
        "rob",
        "steph",
        "steph3",
        "Storm",
        "travis",
        "RicishayMax",
        "klatt2",
    ),
}
FEMALE = frozenset(
    (
        "f1",
        "f2",
        "f3",
        "f4",
        "f5",
        "Alicia",
        "Andrea",
        "Annie",
        "anika",
        "aunty",
        "belinda",
        "grandma",
        "shelby",
        "steph",
        "steph3",
    )
)
# fmt: on


@dataclass(frozen=True)
class Speaker:
    """A voice: accent and variant of espeak-ng, and how this person differs from it.

    pitch in semitones, rate and tract (scale of the spectrum) as factors, level in dB.
    """

    name: str
    accent: str
    variant: str
    pitch: float
    rate: float
    tract: float
    level: float


@dataclass(frozen=True)
class Utterance:
    """One clip to be made: who says what, how. `weights` (K,) sum to 1, `intensity` in (0, 1];
    `votes` are one panel's.
    """

    utterance_id: str
    speaker: Speaker
    sentence: str
    weights: tuple[float, ...]
    intensity: float
    prosody: Prosody


def speakers(split: str) -> tuple[Speaker, ...]:
    """The speakers of a split, each a fixed person; women's variants, which are fewer, lend their
    voice to more persons in training.
    """
    people = []
    for variant in VARIANTS[split]:
        persons = 1 if split != "train" else 8 if variant in FEMALE else 4
        for person in range(persons):
            name = f"{split}-{variant.replace(' ', '_').lower()}" + (
                f"-{person}" if split == "train" else ""
            )
            rng = np.random.default_rng(seed("tiny", "speaker", name))
            people.append(
                Speaker(
                    name=name,
                    accent=ACCENTS[int(rng.integers(len(ACCENTS)))],
                    variant=variant,
                    pitch=round(float(rng.uniform(-1.5, 1.5)), 3),
                    rate=round(float(rng.uniform(0.94, 1.06)), 3),
                    tract=round(float(rng.uniform(0.94, 1.06)), 3),
                    level=round(float(rng.normal(0, 0.7)), 3),
                )
            )
    return tuple(people)


def mixed(weights: Sequence[float], intensity: float) -> Prosody:
    """The mean profile of a mix of emotions at an intensity."""
    return Prosody(
        **{
            field.name: intensity
            * sum(
                w * getattr(PROFILES[label], field.name)
                for w, label in zip(weights, LABELS, strict=True)
            )
            for field in fields(Prosody)
        }
    )


def performed(weights: Sequence[float], intensity: float, rng: np.random.Generator) -> Prosody:
    """One performance: the mean profile plus the spread."""
    mean, spread = asdict(mixed(weights, intensity)), asdict(SPREAD)
    values = {name: mean[name] + spread[name] * float(rng.normal()) for name in mean}
    for name in ("breathiness", "roughness", "tremor"):
        values[name] = max(0.0, values[name])
    return Prosody(**{name: round(value, 4) for name, value in values.items()})


def portrayed(
    first: str, second: str | None, rng: np.random.Generator
) -> tuple[tuple[float, ...], float]:
    """Weights (K,) and intensity of a clip of one emotion (`second` None) or of a mix of two."""
    weights = np.zeros(len(LABELS))
    if second is None:
        weights[LABELS.index(first)] = 1.0
        return tuple(weights), round(float(rng.uniform(0.6, 1.0)), 3)
    share = round(float(rng.uniform(0.4, 0.65)), 3)
    weights[LABELS.index(first)], weights[LABELS.index(second)] = share, round(1 - share, 3)
    return tuple(float(w) for w in weights), round(float(rng.uniform(0.85, 1.0)), 3)


def utterance(
    split: str, index: int, speaker: Speaker, first: str, second: str | None, sentence: str
) -> Utterance:
    """The utterance number `index` of a split, performed from its own seed."""
    name = f"tiny-{split}-{index:05d}"
    rng = np.random.default_rng(seed("tiny", "utterance", name))
    weights, intensity = portrayed(first, second, rng)
    return Utterance(
        name, speaker, sentence, weights, intensity, performed(weights, intensity, rng)
    )


def held_out(split: str, per_speaker: int) -> tuple[Utterance, ...]:
    """Test or validation utterances: half of each speaker's clips are mixes; labels, pairs and
    sentences go round in turn.
    """
    pairs = [(a, b) for i, a in enumerate(LABELS) for b in LABELS[i + 1 :]]
    order = np.random.default_rng(seed("tiny", "pairs", split)).permutation(len(pairs))
    sentences, utterances = SENTENCES[split], []
    for s, speaker in enumerate(speakers(split)):
        for k in range(per_speaker):
            index = s * per_speaker + k
            if k % 2 == 0:
                first, second = LABELS[(index // 2) % len(LABELS)], None
            else:
                first, second = pairs[order[(index // 2) % len(pairs)]]
                if (index // 2 // len(pairs)) % 2:
                    first, second = second, first
            utterances.append(
                utterance(
                    split, index, speaker, first, second, sentences[(index + s) % len(sentences)]
                )
            )
    return tuple(utterances)


def training(count: int) -> tuple[Utterance, ...]:
    """`count` training utterances: speaker, sentence and emotions drawn freely, half of them
    mixes.
    """
    people, sentences, utterances = speakers("train"), SENTENCES["train"], []
    for index in range(count):
        rng = np.random.default_rng(seed("tiny", "training", index))
        first, second = rng.choice(len(LABELS), 2, replace=False)
        utterances.append(
            utterance(
                "train",
                index,
                people[int(rng.integers(len(people)))],
                LABELS[first],
                LABELS[second] if index % 2 else None,
                sentences[int(rng.integers(len(sentences)))],
            )
        )
    return tuple(utterances)


def synthesiser() -> str:
    """The version line of the installed espeak-ng."""
    try:
        output = subprocess.run(
            ["espeak-ng", "--version"], capture_output=True, text=True, check=True
        ).stdout
    except FileNotFoundError:
        raise BadInput(
            "espeak-ng: not found on PATH, expected 1.51 or later; install it (Debian: apt-get install espeak-ng)"
        ) from None
    return output.split("Data at")[0].strip()


def spoken(item: Utterance) -> tuple[NDArray[np.float64], int]:
    """espeak-ng's samples for an utterance, silence trimmed, and their rate in Hz (before any of
    our processing).
    """
    import soundfile

    who, how = item.speaker, item.prosody
    # A person's vocal tract is scaled by playing the samples faster or slower; pitch and pace are
    # corrected for it here.
    semitones = who.pitch + how.pitch - 12 * np.log2(who.tract)
    pitch = int(np.clip(round(50 + semitones * 50 / 12), 0, 99))
    pace = int(np.clip(round(WORDS_PER_MINUTE * who.rate * 2**how.rate / who.tract), 80, 400))
    pitch_range = int(np.clip(round(100 * 2**how.range), 10, 200))
    command = [
        "espeak-ng",
        "-m",
        "-z",
        "-v",
        f"{who.accent}+{who.variant}",
        "-p",
        str(pitch),
        "-s",
        str(pace),
        "--stdout",
    ]
    markup = f'<speak><prosody range="{pitch_range}%">{item.sentence}</prosody></speak>'
    done = subprocess.run([*command, markup], capture_output=True, check=False)
    if done.returncode or len(done.stdout) < 1000:
        raise Broken(
            f"espeak-ng: {item.utterance_id}: no speech ({done.stderr.decode(errors='replace').strip()[:100]})"
        )
    samples, rate = soundfile.read(io.BytesIO(done.stdout), dtype="float64")
    loud = np.flatnonzero(np.abs(samples) > 0.01 * np.abs(samples).max())
    edge = rate // 50
    return samples[max(0, loud[0] - edge) : loud[-1] + edge], rate


def smooth(noise: NDArray[np.float64], rate: int, cutoff: float) -> NDArray[np.float64]:
    """White noise low-passed at `cutoff` Hz, scaled to unit standard deviation."""
    spectrum = np.fft.rfft(noise)
    spectrum[np.fft.rfftfreq(len(noise), 1 / rate) > cutoff] = 0
    out = np.fft.irfft(spectrum, len(noise))
    return out / (out.std() + 1e-12)


def bent(
    samples: NDArray[np.float64], rate: int, semitones: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The samples played at a speed that follows `semitones` (same length): a pitch contour on top
    of the speaker's own.
    """
    position = np.concatenate([[0.0], np.cumsum(2 ** (semitones / 12))])
    position = position[position < len(samples) - 1]
    return np.interp(position, np.arange(len(samples)), samples)


def voiced(samples: NDArray[np.float64], rate: int, item: Utterance) -> NDArray[np.float64]:
    """Pitch slope, tremor, roughness, tilt and breathiness on espeak-ng's samples; then 16 kHz,
    loudness, a quiet room.
    """
    from scipy.signal import resample_poly

    rng = np.random.default_rng(seed("tiny", "voice", item.utterance_id))
    how, n = item.prosody, len(samples)
    time = np.arange(n) / rate
    tremor = how.tremor * np.sin(2 * np.pi * (6.0 * time + rng.random()))
    jitter = 0.35 * how.roughness * smooth(rng.normal(size=n), rate, 40)
    slope = how.slope * (time / time[-1] - 0.5)
    samples = bent(samples, rate, slope + tremor + jitter + 12 * np.log2(item.speaker.tract))
    n = len(samples)
    samples = samples * np.clip(
        1 + 0.55 * how.roughness * smooth(rng.normal(size=n), rate, 55), 0.05, None
    )
    samples = samples * (
        1 + 0.25 * how.tremor * np.sin(2 * np.pi * (6.0 * np.arange(n) / rate + rng.random()))
    )
    frequency = np.maximum(np.fft.rfftfreq(n, 1 / rate), 1.0)
    gain = how.tilt * np.clip(np.log2(frequency / 1000), -2.0, 2.0)
    samples = np.fft.irfft(np.fft.rfft(samples) * 10 ** (gain / 20), n)
    envelope = np.sqrt(np.maximum(smooth_envelope(samples**2, rate), 0))
    noise = np.fft.irfft(
        np.fft.rfft(rng.normal(size=n)) * (frequency > 1200) * (frequency < 7000), n
    )
    samples = (1 - 0.4 * min(1.0, how.breathiness)) * samples + 0.6 * min(
        1.0, how.breathiness
    ) * envelope * noise
    samples = (
        resample_poly(samples, 320, 441)
        if rate == 22_050
        else resample_poly(samples, RATE_HZ, rate)
    )
    level = REFERENCE_DBFS + item.speaker.level + how.loudness
    samples = samples * 10 ** (level / 20) / (np.sqrt(np.mean(samples**2)) + 1e-12)
    samples = (
        np.tanh(samples / 0.9) * 0.9
    )  # a limiter: peaks of the loudest clips bend instead of clipping
    return samples + 10 ** (-75 / 20) * rng.normal(size=len(samples))


def smooth_envelope(power: NDArray[np.float64], rate: int) -> NDArray[np.float64]:
    """Running mean of the power over 20 ms."""
    width = rate // 50
    return np.convolve(power, np.ones(width) / width, mode="same")


def clip(item: Utterance) -> NDArray[np.int16]:
    """The clip of an utterance: 16 kHz mono 16 bit, cut at `MAX_S` seconds. The same espeak-ng
    gives the same bytes.
    """
    samples = voiced(*spoken(item), item)
    if len(samples) > MAX_S * RATE_HZ:
        samples = samples[: int(MAX_S * RATE_HZ)]
    return np.round(np.clip(samples, -1, 1) * 32767).astype(np.int16)
