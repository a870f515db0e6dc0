"""Encoding frames to a video file, by PyAV. Blocking; runs where a crash costs nothing."""

from __future__ import annotations

from fractions import Fraction
from typing import cast

import av
import numpy as np
from av.video.stream import VideoStream
from numpy.typing import NDArray

from infra.media.header import VideoFormat

_QUALITY = {"libx264": {"crf": "20", "preset": "veryfast"}, "libvpx-vp9": {"crf": "30", "b:v": "0", "cpu-used": "5"}}


def video_format() -> VideoFormat:
    """What this machine's codecs can write: MP4 with H.264, else WebM with VP9."""
    return "mp4" if "libx264" in av.codecs_available else "webm"


def encode_film(frames: NDArray[np.uint8], fps: int, target: str, label: str) -> VideoFormat:
    """Write frames (count, height, width, 3; even sides) to a path, without sound. The label becomes the comment."""
    form = video_format()
    codec = "libx264" if form == "mp4" else "libvpx-vp9"
    options = {"movflags": "+faststart"} if form == "mp4" else {}
    with av.open(target, "w", format=form, options=options) as container:
        if label:
            container.metadata["comment"] = label
        stream = cast(VideoStream, container.add_stream(codec, rate=fps, options=_QUALITY[codec]))
        stream.width, stream.height, stream.pix_fmt = frames.shape[2], frames.shape[1], "yuv420p"
        stream.codec_context.thread_count = 1
        stream.time_base = stream.codec_context.time_base = Fraction(1, fps)
        for number, picture in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, fps)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return form
