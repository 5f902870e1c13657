"""The CSV tables of a bundle: each file here makes the rows of the table that has its name.

`results.py`    one row per corpus, model, strategy, control and ambiguity level: counts, and each
                metric with its interval
`paired.py`     differences on the same utterances: each strategy against `greedy`, the baselines
                and its own controls
`heard.py`      was the clip heard? Each control against its strategy; only where the plan has any
`draws.py`      what was asked and what came back: draws, candidates, tokens, verdicts, failures
`levels.py`     the ambiguity levels of each corpus and the entropy behind them
`cells.py`      every cell of the plan: what its strategy is made of, and why it was skipped
`ambiguity.py`  does a gain over greedy grow with ambiguity?
`curves.py`     what more samples give, and what they cost; `subset_losses.py` computes them
`floors.py`     how good a number can look, and numbers without the noise of few raters
`gains.py`      what the gain of a strategy with several candidates consists of
`verifier.py`   how good the verifier's scores are

What they share: `families.py` (which p are corrected together), `estimates.py` (a number with its
interval), `csv_form.py` (rows as CSV and back). The table `claims.csv` is made in `results.claims`.

A table is a function of the bundle's answers and inputs alone. `results.units` makes the rows of a
unit (a model and a corpus) at a time: none compares two models or two corpora.
`bundle.recomputing` joins the units. It adds `levels.csv`, `cells.csv`, and the rows of
`verifier.csv` that compare a judge's own answers with those of other models. The CSV files are the
authority; `results.md` is for reading.
"""
