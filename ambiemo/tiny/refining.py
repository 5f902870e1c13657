"""The second phase of the tiny ALM's training: the same lessons, but the answer is what all panels of raters say together.

In the first phase (`training`) each visit of a clip has it judged by one panel of nine. What is likeliest under that target is one panel's
accident, so greedy answers come out over-confident. Here the target is the share of all PANELS · 9 raters, given in ninths, the unit the
answers are written in (largest remainders). Chosen on the validation speakers; the model card says what the test clips said before.
"""

import json
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ambiemo.seeds import seed
from ambiemo.tiny import model, raters, speech, training

STEPS = 500
PEAK = 5e-4


def pooled(shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """Shares of all panels together in whole ninths: (N, PANELS, K) -> (N, 1, K). The ninths that rounding down leaves go to the
    largest remainders, the first label's first where they are equal."""
    exact = shares.mean(axis=1) * raters.PANEL
    whole = np.floor(exact + 1e-9)
    left = np.rint(raters.PANEL - whole.sum(axis=1)).astype(int)
    order = np.argsort(-(exact - whole), axis=1, kind="stable")
    extra = np.arange(shares.shape[2])[None, :] < left[:, None]
    np.put_along_axis(whole, order, np.take_along_axis(whole, order, axis=1) + extra, axis=1)
    return whole[:, None, :] / raters.PANEL


def refine(work: Path, steps: int = STEPS, clips: int = training.CLIPS, every: int = 100) -> Path:
    """Train on from `work/state.pt` and return the folder of the checkpoint, `work/refined`; validation JS goes to `work/refining.jsonl`."""
    import torch

    torch.set_num_threads(2)
    torch.set_flush_denormal(True)
    learn = training.data(speech.training(clips), work, "train", training.PANELS)
    check = training.data(speech.held_out("validation", training.VALIDATION_PER_SPEAKER), work, "validation", 1)
    words = model.tokenizer(training.corpus(learn))
    together = pooled(learn.shares)
    learn = replace(learn, shares=np.repeat(together, training.PANELS, axis=1))
    requests, log = training.Requests(words), work / "refining.jsonl"
    state = torch.load(work / "state.pt", weights_only=False)
    alm = model.built(words, training.features.FRAMES // 2, 0)
    alm.load_state_dict(state["model"])
    parameters = [p for p in alm.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(parameters, lr=PEAK, betas=(0.9, 0.98), weight_decay=0.05)
    rng = np.random.default_rng(seed("tiny", "refining"))
    begun, losses, own, best = time.monotonic(), [], state["own"], 9.0
    for step, chosen in enumerate(training.batches(learn, rng), 1):
        rate = PEAK * min(1.0, step / 25) * (0.02 + 0.98 * (1 + np.cos(np.pi * step / steps)) / 2)
        for group in optimiser.param_groups:
            group["lr"] = rate
        alm.train()
        mel, lengths = training.augmented(learn.mel[chosen], learn.frames[chosen], rng)
        pack = training.lesson(learn, chosen, own, lengths, requests, 1, rng)
        audio, _ = training.encoded(alm, mel, lengths)
        scores = training.logits(alm, pack, audio, requests.audio)
        loss = torch.nn.functional.cross_entropy(scores, pack["wanted"], reduction="sum") / training.BATCH / 20
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        losses.append(loss.item())
        if step % every == 0 or step == steps:
            found = training.checked(alm.eval(), words, check)
            line = {
                "step": step,
                "seconds": round(time.monotonic() - begun),
                "loss": round(float(np.mean(losses[-every:])), 4),
                **found,
            }
            with log.open("a", encoding="utf-8", newline="\n") as out:
                out.write(json.dumps(line) + "\n")
            print(json.dumps(line), flush=True)
            if found["validation_js"] < best:
                best = found["validation_js"]
                model.save(alm, words, work / "refined")
        if step >= steps:
            return work / "refined"
    raise AssertionError("batches never end")
