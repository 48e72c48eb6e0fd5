"""The convolutional LSTM: a recurrent network over the grid of patches, in one pass."""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from baselines.config import ConvLSTMConfig
from worldmodel.attention import at_least_float32, recomputed
from worldmodel.config import BackboneConfig
from worldmodel.layers import Head, initialise
from worldmodel.predictor import Clips, Predictor, Setting, Trajectory

KERNEL = 3
GATES = 4
State = tuple[Tensor, Tensor]  # hidden and memory, [B, W, rows, columns] each


class ConvLSTM(Predictor):
    """Predicts the next frame from the states of all its cells (Shi et al., 2015, figure 3).

    It has as many cells as the backbone has layers, of a width at which each has as many parameters
    as a block of Transformer++. Predicts the next frame, or its change from the last one, as
    `config.anchor` says.
    """

    def __init__(
        self, config: ConvLSTMConfig, backbone: BackboneConfig, grid: tuple[int, int], dim: int
    ):
        super().__init__()
        self.anchor, self.grid = config.anchor, grid
        width = width_of_cells(backbone)
        self.embed = nn.Linear(dim, width, bias=False)
        initialise(self.embed)
        # Convolutions are the same everywhere; walls and borders stand still.
        self.position = nn.Parameter(torch.zeros(grid[0] * grid[1], width))
        self.cells = Cells(backbone.layers, width)
        self.head = Head(backbone.layers * width, dim)

    @property
    def backbone(self) -> nn.Module:
        """The cells."""
        return self.cells

    def predict(self, context: Clips, setting: Setting, energies: bool = False) -> Trajectory:
        """Predict every next frame in one pass over the context."""
        with torch.no_grad():
            return Trajectory(self._predict(context.embeddings)[0][None])

    def rollout(self, context: Clips, horizon: int, setting: Setting) -> Tensor:
        """Predict `horizon` frames; the states of the cells are carried on."""
        with torch.no_grad():
            prediction, states = self._predict(context.embeddings)
            frames = [prediction[:, -1:]]
            while len(frames) < horizon:
                prediction, states = self._predict(frames[-1], states)
                frames.append(prediction)
        return torch.cat(frames, dim=1)

    def features(self, context: Clips) -> dict[str, Tensor]:
        """States of all cells."""
        with torch.no_grad():
            return {"context": self._observe(context.embeddings)[0]}

    def training_losses(self, batch: Clips, seed: int) -> Iterator[Tensor]:
        """Smooth-L1 on all next frames."""
        prediction, _ = self._predict(batch.observed[:, :-1])
        yield F.smooth_l1_loss(prediction, batch.embeddings[:, 1:])

    def _predict(
        self, embeddings: Tensor, states: list[State] | None = None
    ) -> tuple[Tensor, list[State]]:
        """The frame after each of `embeddings [B, T, P, D]`, and the states after the last."""
        features, states = self._observe(embeddings, states)
        prediction = at_least_float32(self.head(features))
        if self.anchor == "last_frame":
            prediction = prediction + embeddings
        return prediction, states

    def _observe(
        self, embeddings: Tensor, states: list[State] | None = None
    ) -> tuple[Tensor, list[State]]:
        """Features `[B, T, P, layers * W]` after each frame, and the states after the last."""
        tokens = self.embed(embeddings) + self.position
        features, states = self.cells(tokens.transpose(2, 3).unflatten(3, self.grid), states)
        return features.flatten(3).transpose(2, 3), states


class Cells(nn.Module):
    """Cells one above the other, each of which observes the hidden state of the one below."""

    def __init__(self, layers: int, width: int):
        super().__init__()
        self.blocks = nn.ModuleList([Cell(width) for _ in range(layers)])
        self._recompute = False

    def enable_gradient_checkpointing(self) -> None:
        """Compute the cells again in the backward pass; keep their inputs only."""
        self._recompute = True

    def forward(self, x: Tensor, states: list[State] | None = None) -> tuple[Tensor, list[State]]:
        """Hidden states `[B, T, layers * W, rows, columns]` of all cells after frames
        `[B, T, W, rows, columns]`, and their states after the last frame."""
        before = [None] * len(self.blocks) if states is None else states
        hidden, after = [], []
        for cell, state in zip(self.blocks, before, strict=True):
            x, state = recomputed(cell, x, state) if self._recompute else cell(x, state)
            hidden.append(x)
            after.append(state)
        return torch.cat(hidden, dim=2), after


class Cell(nn.Module):
    """A convolutional LSTM (Shi et al., 2015, equation 3), without its peepholes.

    Kernels are kept as the matrices of linear layers, so that they are trained as such.
    """

    def __init__(self, width: int):
        super().__init__()
        self.observed = nn.Linear(width * KERNEL**2, GATES * width)
        self.recalled = nn.Linear(width * KERNEL**2, GATES * width, bias=False)
        self.apply(initialise)
        nn.init.zeros_(self.observed.bias)
        nn.init.ones_(self.observed.bias[:width])  # it remembers (Jozefowicz et al., 2015)

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Hidden states `[B, T, W, rows, columns]` after each frame, and the state after the last.

        What is observed passes its convolution for all frames at once.
        """
        hidden, memory = (torch.zeros_like(x[:, 0]),) * 2 if state is None else state
        observed = convolved(self.observed, x.flatten(0, 1)).unflatten(0, x.shape[:2])
        outputs = []
        for of_frame in observed.unbind(1):
            gates = of_frame + convolved(self.recalled, hidden)
            keep, write, read, new = gates.chunk(GATES, dim=1)
            memory = keep.sigmoid() * memory + write.sigmoid() * new.tanh()
            hidden = read.sigmoid() * memory.tanh()
            outputs.append(hidden)
        return torch.stack(outputs, dim=1), (hidden, memory)


def convolved(layer: nn.Linear, x: Tensor) -> Tensor:
    """The convolution of `x [B, W, rows, columns]` with the kernels of a linear layer."""
    kernels = layer.weight.unflatten(1, (-1, KERNEL, KERNEL))
    return F.conv2d(x, kernels, layer.bias, padding=KERNEL // 2)


def width_of_cells(backbone: BackboneConfig) -> int:
    """The width at which a cell has as many weights as a block of Transformer++."""
    attention, feed_forward = 4 * backbone.width**2, 3 * backbone.width * backbone.resolved_hidden
    return max(1, round(((attention + feed_forward) / (2 * GATES * KERNEL**2)) ** 0.5))
