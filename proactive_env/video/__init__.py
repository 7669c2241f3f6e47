"""Frames out of video files: `timeline` says when pictures are shown, `decode` makes frames, `cache` keeps them."""

from proactive_env.video.cache import FrameCache, cache_folder
from proactive_env.video.decode import decode_frames, decode_frames_at
from proactive_env.video.geometry import MAX_PIXELS, SIZE_MULTIPLE, frame_size
from proactive_env.video.timeline import probe_duration

__all__ = [
    "MAX_PIXELS",
    "SIZE_MULTIPLE",
    "FrameCache",
    "cache_folder",
    "decode_frames",
    "decode_frames_at",
    "frame_size",
    "probe_duration",
]
