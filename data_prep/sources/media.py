"""The kinds of files that a corpus is made of."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Media:
    """A kind of file that a corpus is made of."""

    noun: str
    suffixes: tuple[str, ...]


# A gif is a video, whether it moves or not.
VIDEO_SUFFIXES = ".mp4 .m4v .mov .3gp .mkv .webm .avi .mpg .mpeg .ts .mts .m2ts .wmv .flv .ogv .gif"
VIDEOS = Media("video", tuple(VIDEO_SUFFIXES.split()))
IMAGES = Media("image", (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".avif", ".tif", ".tiff"))
