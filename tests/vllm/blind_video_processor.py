"""Stands in for Qwen2.5-Omni's video part, which transformers can load only where torchvision is;
nothing is seen in these tests.

It is copied into a random checkpoint's folder and loaded from there as remote code.
"""

from transformers.video_processing_utils import VideoProcessorMixin


class BlindVideoProcessor(VideoProcessorMixin):
    """Has the one number that the processor asks for even when it is given sound alone."""

    merge_size = 2
