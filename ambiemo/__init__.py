"""ambiemo: a checkable reproduction of "Decoding Ambiguous Emotions with Test-Time Scaling in
Audio-Language Models".
"""

__version__ = "0.1.0"
