"""Before the days: a few clips through every model, engine, key and node, to see what would fail.

checks      what a model's answers must show, as one table; pure
probes      which draws the checks need, as one table; pure
conform     the checks for one model, on the embedded clips
steps       the 13 steps of `ambiemo smoke`, as one table
journey     walks through the steps
"""
