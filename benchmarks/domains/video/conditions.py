"""Under which conditions next-frame prediction is judged."""

from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class FrameCondition:
    """A split of the corpus, and a protocol: `teacher_forced` or `rollout`."""

    split: str
    protocol: str


# Validation only selects the setting, by its teacher-forced quality.
SELECTING = FrameCondition("validation", "teacher_forced")
JUDGED = (FrameCondition("test", "teacher_forced"), FrameCondition("test", "rollout"))
# Their names in the file of values per video, and the metrics there.
PLACES = ("next frame", "rollout")
FRECHET, FVD = "frechet_embedding", "fvd"  # of rollouts
# As they stand in a result.
TEACHER_FORCED, ROLLOUT = (asdict(condition) for condition in JUDGED)
