"""The paper's findings and numbers as claims, decided by rule.

`claims.yaml`    what is claimed: cells, estimator, rule, family, tolerance; written before the data
`reading.py`     reads it; anything unknown in it is an error
`evidence.py`    what a claim is decided from: votes, speakers and predictions, nothing else
`estimators.py`  one function per way to estimate
`deciding.py`    rules, Holm within families, and the rows of tables/claims.csv
`flips.py`       how many answers would have to change for a verdict to change

docs/claims.md tells it in words. Everything is a pure function: `ambiemo verify` makes the same
table from the answers of a bundle.
"""
