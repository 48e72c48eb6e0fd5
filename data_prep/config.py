"""Configuration of corpora and encoders. Imports nothing heavy, so that --help stays fast."""

from dataclasses import dataclass, field
from typing import Literal

from data_prep.errors import InputError


def require(condition: bool, message: str) -> None:
    """Raise InputError with `message` unless `condition` holds."""
    if not condition:
        raise InputError(message)


def _require_limits(section: str, seconds: float, gibibytes: float) -> None:
    require(0 < seconds <= 86_400, f"{section}.time_limit must be in (0, 86400] seconds")
    require(0 < gibibytes <= 65_536, f"{section}.memory_limit must be in (0, 65536] GiB")


@dataclass
class CorpusConfig:
    """How videos become clips and splits.

    Args:
        frames: number of frames in a clip.
        frame_interval: seconds between the frames of a clip; for each wanted time the clip holds
            the last frame of the video at or before that time.
        stride: seconds from the start of one clip to the start of the next clip of the same video
            (null: clips follow one another without overlap).
        size: height and width of the frames in pixels; the shorter side of the video is resized
            to this size and the longer side is cropped around its centre.
        axes: what each axis of an array (.npy, .npz) is, a letter for each: T frames, N videos,
            H height, W width, C channels, such as TNHW (null: what its shape says).
        mirror: whether each training clip is there once more, mirrored left to right.
        crop: whether the longer side is cropped; else both sides are resized, so that frames are
            squeezed.
        splits: csv or tsv file with columns name and split, optionally group and label (null: a
            split.csv or split.tsv, or splits.*, in the folder is used when there is one).
        validation_fraction: share of the groups that is used for validation when no list names
            the validation videos.
        test_fraction: share of the groups that is used for testing when no list names the splits.
        sources_per_shard: number of videos in a shard.
        damage_limit: share of the frames of a video that may be missing or damaged before the
            video is rejected; a clip with such a frame is left out, and so is a clip without
            motion.
        time_limit: seconds without a finished clip after which a video is given up.
        memory_limit: memory in GiB that the decoding of one video may take.
    """

    frames: int = 12
    frame_interval: float = 0.25
    stride: float | None = None
    size: int = 32
    crop: bool = True
    axes: str | None = None
    mirror: bool = False
    splits: str | None = None
    validation_fraction: float = 0.2
    test_fraction: float = 0.2
    sources_per_shard: int = 64
    damage_limit: float = 0.1
    time_limit: float = 60.0
    memory_limit: float = 4.0

    def __post_init__(self) -> None:
        require(self.frames >= 3, f"corpus.frames is {self.frames}: a clip needs at least 3 frames")
        require(self.frame_interval > 0, "corpus.frame_interval must be above 0 seconds")
        require(self.stride is None or self.stride > 0, "corpus.stride must be above 0 seconds")
        require(self.size >= 8, f"corpus.size is {self.size}: at least 8 pixels are needed")
        require(0 < self.validation_fraction < 1, "corpus.validation_fraction must be in (0, 1)")
        require(0 < self.test_fraction < 1, "corpus.test_fraction must be in (0, 1)")
        require(self.sources_per_shard >= 1, "corpus.sources_per_shard must be at least 1")
        require(0 <= self.damage_limit < 1, "corpus.damage_limit must be in [0, 1)")
        require(
            self.axes is None
            or ({*"THW"} <= {*self.axes} <= {*"TNHWC"} and len({*self.axes}) == len(self.axes)),
            f"corpus.axes is {self.axes!r}: give one letter an axis of T, N, H, W and C, with T, H "
            "and W among them, such as TNHW",
        )
        _require_limits("corpus", self.time_limit, self.memory_limit)


MOST_BALLS = 4
MOST_FILLED = 0.52  # share of the box that squares around the largest balls may fill


@dataclass
class BouncingBallsConfig:
    """The built-in video corpus: balls that bounce in a box, written as H.264 files.

    Args:
        train: number of videos for training.
        validation: number of videos for validation.
        test: number of videos for testing.
        balls: fewest and most balls in a video.
        radii: smallest and largest radius of a ball, in box widths.
        speeds: lowest and highest speed of a ball at first, in box widths per second.
        gravity: downward acceleration of the balls, in box widths per second squared.
        hue: angle in degrees by which the hues of all balls are turned.
        seconds: length of a video in seconds.
        fps: frames per second of a video.
        size: height and width of a video in pixels.
        turn_odds: largest probability that a ball turns by a right angle, to either side; that of
            a ball depends on its colour, from 0 on (0: nothing is left to chance).
        turn_interval: time in seconds between the moments at which balls may turn.
        wall: whether a wall stands before the balls, and they pass behind it.
        seed: seed of the corpus; each video has its own seed made from it.
    """

    train: int = 480
    validation: int = 32
    test: int = 64
    balls: list[int] = field(default_factory=lambda: [1, 2])
    radii: list[float] = field(default_factory=lambda: [0.12, 0.18])
    speeds: list[float] = field(default_factory=lambda: [0.1, 0.25])
    gravity: float = 0.0
    hue: float = 0.0
    seconds: float = 6.0
    fps: int = 8
    size: int = 64
    turn_odds: float = 0.0
    turn_interval: float = 0.25
    wall: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        for split in ("train", "validation", "test"):
            require(getattr(self, split) >= 1, f"balls.{split} must be at least 1 video")
        require(
            len(self.balls) == 2 and 1 <= self.balls[0] <= self.balls[1] <= MOST_BALLS,
            f"balls.balls must be the fewest and the most, from 1 to {MOST_BALLS}",
        )
        for name in ("radii", "speeds"):
            ends = getattr(self, name)
            require(
                len(ends) == 2 and 0 < ends[0] <= ends[1],
                f"balls.{name} must be the lowest and the highest, above 0",
            )
        require(
            self.balls[1] * (2 * self.radii[1]) ** 2 <= MOST_FILLED,
            "balls: so many balls of such radii would not find room; lower balls.balls or "
            "balls.radii",
        )
        require(self.gravity >= 0, "balls.gravity must be at least 0")
        require(self.seconds > 0 and self.fps > 0, "balls.seconds and balls.fps must be above 0")
        require(self.size % 2 == 0, "balls.size must be even: H.264 halves the colour planes")
        require(0 <= self.turn_odds <= 1, "balls.turn_odds must be between 0 and 1")
        between = self.turn_interval * self.fps
        require(
            self.turn_odds == 0 or (between >= 1 and abs(between - round(between)) < 1e-6),
            "balls.turn_interval must be a whole number of frames: a multiple of 1 / balls.fps",
        )


@dataclass
class MovingMNISTConfig:
    """Moving MNIST, made from a file of digits; the corpus of a run where that is given.

    Args:
        digits: idx file of the digits, such as t10k-images-idx3-ubyte.gz (null: another corpus).
        official: file mnist_test_seq.npy of the official test sequences, which are then judged
            (null: test sequences are made too, and published numbers are not of them).
        train: number of sequences for training.
        validation: number of sequences for validation.
        test: number of sequences for testing.
        frames: number of frames in a sequence.
        size: height and width of a frame in pixels.
        count: number of digits in a sequence.
        speed: way of a digit from frame to frame, in the room that it has to move.
        seed: seed of the sequences.
    """

    digits: str | None = None
    official: str | None = None
    train: int = 1000
    validation: int = 64
    test: int = 128
    frames: int = 20
    size: int = 64
    count: int = 2
    speed: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("train", "validation", "test", "count"):
            require(getattr(self, name) >= 1, f"moving_mnist.{name} must be at least 1")
        require(self.frames >= 3, "moving_mnist.frames must be at least 3")
        require(self.size >= 32, "moving_mnist.size must be at least 32 pixels: digits have 28")
        require(0 < self.speed < 1, "moving_mnist.speed must be in (0, 1)")


@dataclass
class ImagesConfig:
    """How images become square crops and splits.

    Args:
        size: height and width of a crop in pixels.
        resize: length in pixels to which the shorter side of an image is resized before cropping
            (null: images are not resized).
        crops: number of crops of each training image, at random places.
        centre: whether a crop lies in the centre instead; each image then gives one.
        held_out_crops: number of crops of each image for validation or testing.
        splits: csv or tsv file with columns name and split, optionally group and label (null: a
            split.csv or split.tsv, or splits.*, in the folder is used when there is one).
        validation_fraction: share of the groups that is used for validation when no list names
            the validation images.
        test_fraction: share of the groups that is used for testing when no list names the splits.
        sources_per_shard: number of images in a shard.
        time_limit: seconds without a finished crop after which an image is given up.
        memory_limit: memory in GiB that the reading of one image may take.
    """

    size: int = 32
    resize: int | None = None
    crops: int = 12
    centre: bool = False
    held_out_crops: int = 2
    splits: str | None = None
    validation_fraction: float = 0.1
    test_fraction: float = 0.1
    sources_per_shard: int = 100
    time_limit: float = 60.0
    memory_limit: float = 4.0

    def __post_init__(self) -> None:
        require(self.size >= 8, f"images.size is {self.size}: at least 8 pixels are needed")
        require(
            self.resize is None or self.resize >= self.size,
            f"images.resize must be at least images.size = {self.size}",
        )
        for name in ("crops", "held_out_crops", "sources_per_shard"):
            require(getattr(self, name) >= 1, f"images.{name} must be at least 1")
        require(
            not self.centre or self.crops == self.held_out_crops == 1,
            "images.centre: the centre is one crop: set images.crops and held_out_crops to 1",
        )
        _require_limits("images", self.time_limit, self.memory_limit)
        require(0 < self.validation_fraction < 1, "images.validation_fraction must be in (0, 1)")
        require(0 < self.test_fraction < 1, "images.test_fraction must be in (0, 1)")


LARGEST_LEAF = 0.6  # radius of the largest leaf, in canvas sizes


@dataclass
class DeadLeavesConfig:
    """The built-in image corpus: leaves of all sizes that cover one another.

    Args:
        train: number of canvases for training.
        validation: number of canvases for validation; one crop of each is used.
        test: number of canvases for testing; one crop of each is used.
        size: height and width of a canvas in pixels.
        exponents: lowest and highest exponent of the texture's amplitude spectrum f^-exponent; each
            canvas draws its own.
        smallest: lowest and highest radius in pixels of the smallest leaves; each canvas draws its
            own.
        seed: seed of the corpus; each canvas has its own seed made from it.
    """

    train: int = 800
    validation: int = 64
    test: int = 64
    size: int = 192
    exponents: list[float] = field(default_factory=lambda: [1.0, 1.0])
    smallest: list[float] = field(default_factory=lambda: [4.0, 4.0])
    seed: int = 0

    def __post_init__(self) -> None:
        for split in ("train", "validation", "test"):
            require(getattr(self, split) >= 1, f"dead_leaves.{split} must be at least 1 canvas")
        require(self.size >= 16, "dead_leaves.size must be at least 16 pixels")
        for name, least in (("exponents", 0), ("smallest", 1)):
            ends = getattr(self, name)
            require(
                len(ends) == 2 and least <= ends[0] <= ends[1],
                f"dead_leaves.{name} must be the lowest and the highest, at least {least}",
            )
        require(
            self.smallest[1] < LARGEST_LEAF * self.size,
            f"dead_leaves.smallest must be below {LARGEST_LEAF} of dead_leaves.size",
        )


WITHOUT_WEIGHTS = ("dct", "pixels")  # encoders that their options describe completely
WITH_WEIGHTS = ("timm", "vae", "tae", "own")


@dataclass
class EncoderConfig:
    """The frozen encoder that turns frames into embeddings.

    Args:
        name: name of the encoder. `dct` is the orthonormal block DCT and `pixels` the raw pixels,
            scaled to [-1, 1]; neither needs weights. `timm:NAME` gives the patch tokens of a timm
            ViT such as timm:vit_small_patch14_dinov2.lvd142m; `vae:NAME_OR_FOLDER` gives the
            latents of a diffusers AutoencoderKL or AutoencoderTiny; `tae:FOLDER` those of a tiny
            autoencoder of madebyollin's (TAESD, TAEF2) from its own files;
            `own:package.module:Class` is yours.
        patch_size: height and width of a patch, in latents for vae and tae and else in pixels; a
            timm model has its own patch size.
        frequencies: number of low frequencies that dct keeps of each channel, in zigzag order
            (null: all of them).
        input_size: height and width in pixels to which frames are resized for a timm, vae
            or tae encoder (null: the nearest size to their own that the encoder takes).
        weights: file of weights for a timm encoder, .safetensors or .pth (null: the weights in
            the cache of the Hugging Face hub).
        batch_size: number of frames that a timm, vae or tae encoder encodes at once.
    """

    name: str = "dct"
    patch_size: int = 8
    frequencies: int | None = 21
    input_size: int | None = None
    weights: str | None = None
    batch_size: int = 64

    def __post_init__(self) -> None:
        kind, _, model = self.name.partition(":")
        require(
            self.name in WITHOUT_WEIGHTS or (kind in WITH_WEIGHTS and model != ""),
            f"encoder.name is {self.name!r}: give dct, timm:NAME, vae:NAME_OR_FOLDER, tae:FOLDER, "
            "pixels or own:package.module:Class",
        )
        require(self.patch_size >= 1, "encoder.patch_size must be at least 1 pixel")
        require(self.batch_size >= 1, "encoder.batch_size must be at least 1 frame")
        require(
            self.input_size is None or self.input_size >= 8,
            "encoder.input_size must be at least 8 pixels",
        )
        limit = self.patch_size**2
        require(
            self.kind != "dct" or self.frequencies is None or 1 <= self.frequencies <= limit,
            f"encoder.frequencies must be between 1 and {limit} for patch_size {self.patch_size}",
        )

    @property
    def kind(self) -> str:
        """The kind of encoder: `dct`, `pixels`, `timm`, `vae`, `tae` or `own`."""
        return self.name.partition(":")[0]

    @property
    def model(self) -> str:
        """The model's name or folder, after the colon."""
        return self.name.partition(":")[2]


@dataclass
class ExecutorConfig:
    """Where the shards are made. Any run can be stopped and repeated, and runs can go in parallel.

    Args:
        executor: `local` makes shards in processes on this machine, `ray` makes each shard as one
            task of a Ray cluster.
        workers: number of shards that are made at once on this machine (null: one for each core).
        num_jobs: number of jobs that share the work, such as the jobs of a Slurm array.
        job_index: index of this job, from 0; job i makes the shards i, i + num_jobs and so on.
        ray_address: address of a Ray cluster, or auto for one that runs already (null: a local
            cluster is started).
    """

    executor: Literal["local", "ray"] = "local"
    workers: int | None = None
    num_jobs: int = 1
    job_index: int = 0
    ray_address: str | None = None

    def __post_init__(self) -> None:
        require(self.workers is None or self.workers >= 1, "workers must be at least 1")
        require(self.num_jobs >= 1, "num_jobs must be at least 1")
        require(
            0 <= self.job_index < self.num_jobs,
            f"job_index {self.job_index}: jobs are counted from 0 to num_jobs - 1 = "
            f"{self.num_jobs - 1}",
        )
