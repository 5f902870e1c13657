"""Training the tiny ALM from scratch, on CPU.

One step takes a batch of clips. The clip is encoded once; its requests (direct, chain of thought,
two for the verifier) share that prefix in one packed sequence, each seeing the prefix and itself
only, at the positions it has when asked alone. So the packed forward pass computes what the model
computes when it is asked one thing at a time (a test compares the two). The loss is on the answers'
tokens only.

The window is 4 s while training; `model.save` writes the checkpoint with Whisper's 30 s. Each visit
of a clip has it rated by one of several panels of simulated raters, so that answers follow the
spread of votes rather than one panel's accident.
"""

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ambiemo.seeds import seed
from ambiemo.tiny import asking, features, model, raters, speech, texts
from ambiemo.tiny.candidates import candidate

CLIPS = 10_000
PANELS = 6
BATCH = 32
STEPS = (1_900, 600)  # of the two lessons: one panel's votes; then the smoothed shares
PEAKS = (1.2e-3, 6e-4)  # learning rate at the start of each; both fall to 2 % of it along a cosine
DESCRIBED = 0.6  # share of the visits of a clip that ask for a chain of thought too
JUDGED = 2  # verifier requests per visit, after the first third of the first lesson; one before
TIMBRE = (
    0.03  # how strongly the second lesson colours the clips, so that the voice itself tells less
)
OWN_ANSWERS_AT = (
    1_330,
    2_150,
)  # steps at which the model answers some clips for the verifier to judge
VALIDATION_PER_SPEAKER = 24


# How finely the second lesson tells two clips apart by their prosody (standard deviations of a
# Gaussian kernel).
BLUR = speech.Prosody(
    pitch=1.8,
    range=0.38,
    rate=0.135,
    loudness=1.8,
    tilt=1.35,
    slope=1.8,
    breathiness=0.18,
    roughness=0.18,
    tremor=0.3,
)


@dataclass(frozen=True)
class Data:
    """Clips of a split: features (N, 128, 400), frames (N,), vote shares (N, PANELS, K), prosody of
    each.
    """

    items: tuple[speech.Utterance, ...]
    mel: NDArray[np.float16]
    frames: NDArray[np.int64]
    shares: NDArray[np.float64]
    prosody: list[dict[str, float]]


def data(items: tuple[speech.Utterance, ...], work: Path, name: str, panels: int) -> Data:
    """Synthesise (or read from `work`) the features of the items and have them rated by `panels`
    panels.
    """
    mel, frames = features.prepared(items, work, name)
    votes = [
        [
            raters.vote(i.weights, i.intensity, i.utterance_id, *([p] if p else []))
            for p in range(panels)
        ]
        for i in items
    ]
    counts = np.array(votes, dtype=np.float64)
    return Data(
        items,
        mel,
        frames,
        counts / counts.sum(-1, keepdims=True),
        [asdict(i.prosody) for i in items],
    )


def smoothed(learn: Data) -> NDArray[np.float64]:
    """The mean vote shares (N, K) of each clip's raters and of those of clips that sound nearly the
    same.

    Kernel regression of the shares on the audible prosody (the performance plus the speaker's own
    pitch, rate and level), bandwidth BLUR. It is what a listener who cannot measure prosody exactly
    should expect of the raters; answers taught by it are less sure of themselves.
    """
    offsets = [
        {
            "pitch": i.speaker.pitch,
            "rate": float(np.log2(i.speaker.rate)),
            "loudness": i.speaker.level,
        }
        for i in learn.items
    ]
    width = asdict(BLUR)
    points = np.array(
        [
            [(p[name] + o.get(name, 0.0)) / width[name] for name in width]
            for p, o in zip(learn.prosody, offsets, strict=True)
        ]
    )
    mean, out = learn.shares.mean(1), []
    norms = (points**2).sum(1)
    for start in range(0, len(points), 500):
        some = slice(start, start + 500)
        distance = norms[some, None] + norms[None, :] - 2 * points[some] @ points.T
        weight = np.exp(-np.maximum(distance, 0) / 2)
        out.append(weight @ mean / weight.sum(1, keepdims=True))
    return np.concatenate(out)


def corpus(train: Data) -> Iterator[str]:
    """The texts that the tokenizer is trained on."""
    for i in range(min(3000, len(train.items))):
        p = train.shares[i, 0]
        yield texts.cot_answer(train.prosody[i], p)
        yield texts.verifier_answer(i % 11)
    for _ in range(200):
        yield ", ".join(texts.LABELS)


class Requests:
    """Token ids of the requests: the prefix up to the clip, the question after it, the answer."""

    def __init__(self, words: Any) -> None:
        self.words, proc = words, model.processor(words, features.WINDOW_S)
        self.hole = "{candidate}"
        text = {
            name: model.rendered(proc, model.prompt(name, self.hole))
            for name in ("direct", "cot", "verifier")
        }
        self.prefix = text["direct"].split("<|AUDIO|>")[0]
        self.rest = {name: whole.split("<|AUDIO|>")[1] for name, whole in text.items()}
        self.head = self.ids(self.prefix)
        self.end = words.convert_tokens_to_ids("<|im_end|>")
        self.audio = words.convert_tokens_to_ids("<|AUDIO|>")

    def ids(self, text: str) -> list[int]:
        return list(self.words(text, add_special_tokens=False)["input_ids"])

    def question(self, name: str, answer: str = "", newline: bool = False) -> list[int]:
        """Ids after the clip up to the assistant's turn; some prompts in training end with a line
        break, as a file read whole would.
        """
        text = self.rest[name].replace(self.hole, answer)
        return self.ids(
            text.replace("<|im_end|>\n<|im_start|>assistant", "\n<|im_end|>\n<|im_start|>assistant")
            if newline
            else text
        )

    def answer(self, text: str) -> list[int]:
        return [*self.ids(text), self.end]


def packed(
    rows: Sequence[tuple[int, list[tuple[list[int], list[int]]]]], requests: Requests
) -> dict[str, Any]:
    """Pack each clip's requests after one prefix.

    rows: per clip its number of audio tokens and its (question ids, answer ids). Returns ids,
    position, mask (B, 1, L, L) of who sees whom, and for every answer token the flat index of the
    position that predicts it and its id.
    """
    import torch

    sequences = []
    for audio_tokens, segments in rows:
        start = len(requests.head) + audio_tokens
        tokens = [*requests.head, *[requests.audio] * audio_tokens]
        places, owners, targets = list(range(start)), [0] * start, [-1] * start
        for number, (question, answer) in enumerate(segments, 1):
            length = len(question) + len(answer)
            tokens += question + answer
            places += range(start, start + length)
            owners += [number] * length
            targets += [-1] * (len(question) - 1) + answer + [-1]
        sequences.append((tokens, places, owners, targets))
    width = max(len(tokens) for tokens, *_ in sequences)
    ids, position, segment, wanted = (
        torch.tensor([row[k] + [fill] * (width - len(row[k])) for row in sequences])
        for k, fill in enumerate((0, 0, -1, -1))
    )
    see = (segment[:, None, :] == segment[:, :, None]) | (segment[:, None, :] == 0)
    see = see & torch.ones(width, width, dtype=torch.bool).tril()
    flat = (wanted.flatten() >= 0).nonzero().squeeze(1)
    return {
        "ids": ids,
        "position": position,
        "mask": see[:, None],
        "where": flat,
        "wanted": wanted.flatten()[flat],
    }


def encoded(alm: Any, mel: Any, frames: Any) -> tuple[Any, Any]:
    """The projected audio embeddings (M, hidden) of all clips in a row, and how many each has:
    `Qwen2AudioEncoder.forward`, shorter window.
    """
    import torch
    from torch.nn import functional

    tower = alm.model.audio_tower
    x = functional.gelu(tower.conv1(mel))
    x = functional.gelu(tower.conv2(x)).permute(0, 2, 1)
    x = x + tower.embed_positions.weight[: x.shape[1]]
    inner, outer = tower._get_feat_extract_output_lengths(frames)
    mask = (torch.arange(x.shape[1])[None, :] < inner[:, None])[:, None, None, :].expand(
        -1, 1, x.shape[1], -1
    )
    for layer in tower.layers:
        x = layer(x, mask)
    x = tower.layer_norm(tower.avg_pooler(x.permute(0, 2, 1)).permute(0, 2, 1))
    x = alm.model.multi_modal_projector(x)
    return x[torch.arange(x.shape[1])[None, :] < outer[:, None]], outer


def logits(alm: Any, pack: dict[str, Any], audio: Any, audio_id: int) -> Any:
    """Logits (T, vocabulary) at the positions that predict the answers' tokens."""
    embeds = alm.get_input_embeddings()(pack["ids"])
    embeds = embeds.masked_scatter((pack["ids"] == audio_id)[..., None], audio)
    out = alm.model.language_model(
        inputs_embeds=embeds,
        attention_mask={"full_attention": pack["mask"]},
        position_ids=pack["position"],
        use_cache=False,
    )
    return alm.lm_head(out.last_hidden_state.flatten(0, 1)[pack["where"]])


def batches(train: Data, rng: np.random.Generator) -> Iterator[NDArray[np.int64]]:
    """Endless batches of clip numbers; within a pool of batches clips of similar length go
    together.
    """
    while True:
        order = rng.permutation(len(train.items))
        for start in range(0, len(order) - BATCH * 16 + 1, BATCH * 16):
            some = order[start : start + BATCH * 16]
            some = some[np.argsort(train.frames[some], kind="stable")].reshape(-1, BATCH)
            yield from some[rng.permutation(len(some))]


def augmented(
    mel: NDArray[np.float16],
    frames: NDArray[np.int64],
    rng: np.random.Generator,
    timbre: float = 0.0,
) -> tuple[Any, Any]:
    """A batch of features moved in time by up to 0.1 s, up to 0.8 dB louder or softer, a band and a
    moment masked; cut to the longest clip.

    With `timbre` also another voice: the spectrum stretched by up to 6 % and a smooth curve of that
    size (in features' units) laid over it.
    """
    import torch

    shift = np.minimum(rng.integers(0, 11, len(mel)), 396 - frames)
    length = frames + shift
    width = min(400, (int(length.max()) + 5) // 2 * 2)
    out = np.empty((len(mel), mel.shape[1], width), dtype=np.float32)
    for row, (clip, by) in enumerate(zip(mel, shift, strict=True)):
        if timbre:
            clip = other_voice(np.asarray(clip, dtype=np.float32), timbre, rng)
        floor = float(clip.min())
        out[row, :, :by], out[row, :, by:] = floor, clip[:, : width - by]
        mean = float(clip[:, : frames[row]].mean())
        if rng.random() < 0.5:
            low = rng.integers(0, 118)
            out[row, low : low + rng.integers(1, 11), : length[row]] = mean
        if rng.random() < 0.5:
            begin = rng.integers(0, length[row])
            out[row, :, begin : min(begin + rng.integers(1, 13), length[row])] = mean
        out[row] += rng.uniform(-0.02, 0.02)
    return torch.from_numpy(out), torch.from_numpy(length)


def other_voice(
    mel: NDArray[np.float32], timbre: float, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Features (128, T) as another vocal tract and room would colour them."""
    bins = np.arange(len(mel))
    place = np.clip(bins * rng.uniform(0.94, 1.06), 0, len(mel) - 1.001)
    low = place.astype(int)
    part = (place - low).astype(np.float32)[:, None]
    first, second = rng.normal(0, timbre, 2)
    curve = first * np.cos(np.pi * bins / len(mel)) + second * np.cos(2 * np.pi * bins / len(mel))
    return (1 - part) * mel[low] + part * mel[low + 1] + curve.astype(np.float32)[:, None]


def lesson(
    train: Data,
    chosen: NDArray[np.int64],
    own: dict[int, list],
    lengths: Any,
    requests: Requests,
    judged: int,
    targets: NDArray[np.float64] | None,
    rng: np.random.Generator,
) -> dict[str, Any]:
    """The packed requests of one batch: for each clip the direct one, for some the chain of
    thought, and `judged` candidates for the verifier.

    First lesson (`targets` None): the shares of one panel. Second: the smoothed shares (N, K) in
    twentieths; the verifier judges by all panels.
    """
    rows = []
    for i, frames in zip(chosen, lengths.tolist(), strict=True):
        first, second = rng.choice(PANELS, 2, replace=False)
        p = train.shares[i, first] if targets is None else train.shares[i].mean(0)
        taught = p if targets is None else texts.twentieths(targets[i])
        segments = [
            (
                requests.question("direct", newline=rng.random() < 0.2),
                requests.answer(texts.direct_answer(taught)),
            )
        ]
        if rng.random() < DESCRIBED:
            answer = texts.cot_answer(train.prosody[i], taught)
            segments.append(
                (requests.question("cot", newline=rng.random() < 0.2), requests.answer(answer))
            )
        for _ in range(judged):
            j = int(rng.integers(len(train.items)))
            text, q = candidate(
                p,
                train.shares[i, second],
                train.shares[j, 0],
                train.prosody[i],
                train.prosody[j],
                own.get(int(i), []),
                rng,
            )
            answer = texts.verifier_answer(texts.verifier_score(q, p))
            segments.append(
                (
                    requests.question("verifier", text, newline=rng.random() < 0.2),
                    requests.answer(answer),
                )
            )
        rows.append((features.audio_tokens(frames), segments))
    return packed(rows, requests)


def own_answers(
    alm: Any, words: Any, train: Data, rng: np.random.Generator, count: int
) -> dict[int, list[tuple[str, NDArray[np.float64]]]]:
    """Sampled answers of the model as it is now to `count` training clips, both prompts: text and
    distribution of each that parses.
    """
    chosen = rng.choice(len(train.items), count, replace=False)
    by_clip: dict[int, list] = {}
    for name in ("direct", "cot"):
        answers = asking.answers(
            alm,
            model.processor(words, features.WINDOW_S),
            train.mel[chosen],
            train.frames[chosen],
            model.prompt(name),
            sample=True,
        )
        for i, text in zip(chosen, answers, strict=True):
            p = asking.parsed(text)
            if p is not None:
                by_clip.setdefault(int(i), []).append((text, p))
    return by_clip


def learning_rate(step: int, steps: tuple[int, int]) -> float:
    """The rate at a step: in each lesson a short rise to its peak and a cosine down to 2 % of
    it.
    """
    lesson_number = int(step >= steps[0])
    done, length, rise = (
        step - lesson_number * steps[0],
        steps[lesson_number],
        (100, 30)[lesson_number],
    )
    return (
        PEAKS[lesson_number]
        * min(1.0, (done + 1) / rise)
        * (0.02 + 0.49 * (1 + float(np.cos(np.pi * min(1.0, done / length)))))
    )


def train(
    work: Path,
    steps: tuple[int, int] = STEPS,
    clips: int = CLIPS,
    every: int = 250,
    resume: bool = False,
) -> Path:
    """Train and return the folder of the checkpoint after the last step, `work/last`.

    Next to it: the log (`log.jsonl`, with validation JS), the state to go on from (`state.pt`), the
    checkpoint of the lowest greedy validation JS (`best`).
    """
    import torch

    torch.set_num_threads(2)
    torch.set_flush_denormal(True)
    learn = data(speech.training(clips), work, "train", PANELS)
    check = data(speech.held_out("validation", VALIDATION_PER_SPEAKER), work, "validation", 1)
    words, targets = model.tokenizer(corpus(learn)), smoothed(learn)
    requests, log = Requests(words), work / "log.jsonl"
    alm = model.built(words, features.FRAMES // 2, seed("tiny", "weights") % 2**31)
    decay = [p for n, p in alm.named_parameters() if p.requires_grad and p.ndim > 1]
    rest = [p for n, p in alm.named_parameters() if p.requires_grad and p.ndim <= 1]
    optimiser = torch.optim.AdamW(
        [{"params": decay, "weight_decay": 0.05}, {"params": rest, "weight_decay": 0.0}],
        lr=PEAKS[0],
        betas=(0.9, 0.98),
    )
    step, best, spent, own = 0, 9.0, 0.0, {}
    if resume and (work / "state.pt").exists():
        state = torch.load(work / "state.pt", weights_only=False)
        alm.load_state_dict(state["model"])
        optimiser.load_state_dict(state["optimiser"])
        step, best, spent, own = state["step"], state["best"], state["spent"], state["own"]
    rng = np.random.default_rng(seed("tiny", "lessons", step))
    begun, losses = time.monotonic(), []
    for chosen in batches(learn, rng):
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(step, steps)
        alm.train()
        soft = step >= steps[0]
        mel, lengths = augmented(learn.mel[chosen], learn.frames[chosen], rng, TIMBRE * soft)
        judged = JUDGED if step > steps[0] / 3 else 1
        pack = lesson(learn, chosen, own, lengths, requests, judged, targets if soft else None, rng)
        audio, _ = encoded(alm, mel, lengths)
        scores = logits(alm, pack, audio, requests.audio)
        loss = (
            torch.nn.functional.cross_entropy(scores, pack["wanted"], reduction="sum") / BATCH / 20
        )
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(alm.parameters(), 1.0)
        optimiser.step()
        losses.append(loss.item())
        step += 1
        if step in OWN_ANSWERS_AT:
            own |= own_answers(alm.eval(), words, learn, rng, 700)
        if step % 25 == 0:
            print(
                f"step {step} of {sum(steps)}: loss {np.mean(losses[-25:]):.3f}, {spent + time.monotonic() - begun:.0f} s",
                flush=True,
            )
        if step % every == 0 or step in (steps[0], sum(steps)):
            validation = checked(alm.eval(), words, check)
            spent, begun = spent + time.monotonic() - begun, time.monotonic()
            line = {
                "step": step,
                "seconds": round(spent),
                "loss": round(float(np.mean(losses[-every:])), 4),
                **validation,
            }
            with log.open("a", encoding="utf-8", newline="\n") as out:
                out.write(json.dumps(line) + "\n")
            print(json.dumps(line), flush=True)
            if validation["validation_js"] < best:
                best = validation["validation_js"]
                model.save(alm, words, work / "best")
            state = {
                "model": alm.state_dict(),
                "optimiser": optimiser.state_dict(),
                "step": step,
                "best": best,
                "spent": spent,
                "own": own,
            }
            torch.save(state, work / "state.pt.part")
            (work / "state.pt.part").replace(work / "state.pt")
        if step >= sum(steps):
            break
    model.save(alm, words, work / "last")
    return work / "last"


def checked(alm: Any, words: Any, check: Data) -> dict[str, float]:
    """Greedy direct and chain-of-thought answers to the validation clips: mean JS in bits
    (unparsed: as uniform), shares unparsed.
    """
    proc, scores = model.processor(words, features.WINDOW_S), {}
    for name, key in (("direct", "validation"), ("cot", "validation_cot")):
        distributions = [
            asking.parsed(t)
            for t in asking.answers(alm, proc, check.mel, check.frames, model.prompt(name))
        ]
        given = np.array(
            [
                np.full(len(texts.LABELS), 1 / len(texts.LABELS)) if p is None else p
                for p in distributions
            ]
        )
        scores[f"{key}_js"] = round(float(texts.js_bits(given, check.shares[:, 0]).mean()), 4)
        scores[f"{key}_unparsed"] = round(float(np.mean([p is None for p in distributions])), 4)
    return scores
