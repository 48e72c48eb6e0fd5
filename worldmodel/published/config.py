"""Configuration of the published EBT. Imports nothing heavy."""

from dataclasses import dataclass
from typing import Literal

from data_prep.config import require
from worldmodel.config import ModelConfig

Projection = Literal["learned", "pca"]


@dataclass
class PublishedEBTConfig(ModelConfig):
    """The published EBT on video, with the settings of its System 1 training as defaults.

    Step size and start noise belong to a scale of the latents. The published ones are for latents
    of standard deviation 5.5; the defaults are for scaled embeddings, whose is 1.

    Args:
        step_size: step size (published: 30,000). With 1, and the default start noise, the first
            update has an RMS near 0.3, on frames of any size.
        learn_step_size: whether the step size is learned; else it stays as it began.
        step_size_rate: learning rate of the step size, as a multiple of `learning_rate` times the
            step size that training starts from.
        calibrate: whether the step size is set once before training, so that the first update has
            an RMS of 0.3; `step_size` has no effect then.
        landscapes: number of step tokens; each gives the energy another landscape.
        least_visits: smallest number of thinking steps in each landscape of a training step.
        most_visits: largest such number; between them each landscape draws its own. Predictions
            take so many steps in the last landscape and one in each other.
        detach: whether the input of a thinking step is cut from the graph of the steps before it.
        truncate: whether only the last thinking step is judged and back-propagated through.
        random_step_size: largest factor by which the step size of each clip and frame is multiplied
            or divided in training, at random (1: by none).
        langevin_noise: standard deviation of noise that is added to the projected candidate where
            the energy and its gradient are taken, in training and predictions.
        start_noise: standard deviation of the noise where candidates start (published: 1). Where a
            frame has more dimensions than the model's width, most of it stays in the prediction.
        retained_noise: whether the part of the start noise that no step can remove, outside the
            row space of the projection, is there (published: true).
        projection: the layer from a frame to its token: `learned` as published, or `pca`, fixed at
            the principal components of training frames.
        replay: number of clips in a buffer that keeps their final candidates (0: no buffer).
        replay_share: number of clips from the buffer that are added to each batch, as a share of
            it.
        inference_steps: number of thinking steps of the published inference, which is judged as a
            row of its own (null: no such row).
        inference_samples: number of candidates of which it takes the one of lowest energy.
        inference_step_size: its step size (null: the trained one).
        inference_langevin_noise: its noise on the projected candidate (null: as in training).
    """

    step_size: float = 1.0
    learn_step_size: bool = True
    step_size_rate: float = 3.0
    calibrate: bool = False
    landscapes: int = 2
    least_visits: int = 1
    most_visits: int = 1
    detach: bool = True
    truncate: bool = False
    random_step_size: float = 1.0
    langevin_noise: float = 0.0
    start_noise: float = 0.18
    retained_noise: bool = True
    projection: Projection = "learned"
    replay: int = 0
    replay_share: float = 0.5
    inference_steps: int | None = None
    inference_samples: int = 1
    inference_step_size: float | None = None
    inference_langevin_noise: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.step_size > 0, "step_size must be above 0")
        require(self.step_size_rate > 0, "step_size_rate must be above 0")
        require(self.landscapes >= 1, "landscapes must be at least 1")
        require(
            1 <= self.least_visits <= self.most_visits,
            "least_visits must be at least 1 and at most most_visits",
        )
        require(self.random_step_size >= 1, "random_step_size must be at least 1")
        require(self.langevin_noise >= 0, "langevin_noise must be at least 0")
        require(self.start_noise > 0, "start_noise must be above 0")
        require(self.replay >= 0, "replay must be at least 0")
        require(self.replay_share >= 0, "replay_share must be at least 0")
        require(
            self.inference_steps is None or self.inference_steps >= 1,
            "inference_steps must be at least 1",
        )
        require(self.inference_samples >= 1, "inference_samples must be at least 1")

    @property
    def training_steps(self) -> int:
        """The thinking steps of a prediction by which training is judged."""
        return self.landscapes - 1 + self.most_visits
