"""The embedded default: 96 clips of synthetic speech and a tiny ALM trained on others like them.
README.md next to this file is the model card.

speech and texts and raters make the clips, features and training the checkpoint, evaluation
measures it; `python -m ambiemo.tiny` does all three. The benchmark itself needs none of these
modules: it reads `clips/` through `ambiemo.corpora` and `checkpoint/` through an engine.
"""
