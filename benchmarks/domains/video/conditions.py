"""Under which conditions next-frame prediction is judged."""

from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class FrameCondition:
    """A split of the corpus, and a protocol: `teacher_forced`, `rollout` or `sampled`."""

    split: str
    protocol: str


# Validation only selects the setting, by its teacher-forced quality.
SELECTING = FrameCondition("validation", "teacher_forced")
JUDGED = (FrameCondition("test", "teacher_forced"), FrameCondition("test", "rollout"))
# Every next frame as samples of what may come. Without verdicts: the quality of one sample decides
# nothing.
SAMPLED_FRAMES = FrameCondition("test", "sampled")
# Their names in the file of values per video, and the metrics there.
PLACES = ("next frame", "rollout")
FUTURES = "futures"
FRECHET, FVD = "frechet_embedding", "fvd"  # of rollouts
# As they stand in a result.
TEACHER_FORCED, ROLLOUT = (asdict(condition) for condition in JUDGED)
SAMPLED = asdict(SAMPLED_FRAMES)
