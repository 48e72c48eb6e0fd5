"""The reference of preparation: as the EBT paper's code reads clips, one seek for each frame."""

import json
import shutil
import subprocess
from pathlib import Path

import cv2
import numpy as np

from data_prep.config import CorpusConfig


def read_by_seeking(path: Path, config: CorpusConfig) -> list[np.ndarray]:
    """All clips of a video uint8 `[T, size, size, 3]`, by one cv2 seek per frame.

    As in alexiglad/EBT: ffprobe is asked for rate and length, once per file, where it is
    installed (cv2 is otherwise), and frames are found by their number.
    """
    rate, frames = _probe(path)
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
    length = (config.frames - 1) * config.frame_interval
    stride = config.stride or config.frames * config.frame_interval
    clips = []
    for start in np.arange(0.0, (frames - 1) / rate - length + 1e-3, stride):
        clip = []
        for k in range(config.frames):
            number = round((start + k * config.frame_interval) * rate)
            capture.set(cv2.CAP_PROP_POS_FRAMES, min(number, frames - 1))
            read, frame = capture.read()
            if not read:
                raise RuntimeError(f"{path}: cv2 reads no frame {number}")
            clip.append(_square(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB), config.size))
        clips.append(np.stack(clip))
    capture.release()
    return clips


def has_ffprobe() -> bool:
    """Whether ffprobe is installed."""
    return shutil.which("ffprobe") is not None


def _probe(path: Path) -> tuple[float, int]:
    """Frames per second and number of frames."""
    if not has_ffprobe():
        capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
        found = capture.get(cv2.CAP_PROP_FPS), int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
        capture.release()
        return found
    command = ["ffprobe", "-v", "error", "-select_streams", "v:0", "-show_streams", "-of", "json"]
    answer = subprocess.run([*command, str(path)], capture_output=True, check=True).stdout
    stream = json.loads(answer)["streams"][0]
    over, under = stream["avg_frame_rate"].split("/")
    return int(over) / int(under), int(stream["nb_frames"])


def _square(frame: np.ndarray, size: int) -> np.ndarray:
    height, width = frame.shape[:2]
    scale = size / min(height, width)
    resized = cv2.resize(frame, (round(width * scale), round(height * scale)))
    top, left = (resized.shape[0] - size) // 2, (resized.shape[1] - size) // 2
    return resized[top : top + size, left : left + size]
