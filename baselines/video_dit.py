"""The Diffusion Transformer of diffusers, as a flow to the next frame."""

from typing import Any

import torch
from torch import Tensor, nn

from baselines.config import NextFrameDiTConfig
from baselines.dit import dit_of_patches
from baselines.flow_matching import TIME_SCALE, FlowMatching
from worldmodel.attention import at_least_float32
from worldmodel.backbone import EncodedContext, Visible
from worldmodel.config import BackboneConfig
from worldmodel.predictor import Clips


class NextFrameDiT(FlowMatching):
    """DiT (Peebles and Xie, 2023) on the patches of the noisy next frame.

    The last observed frames stand beside them on the channels; before there are enough, the first
    stands for those that are missing.

    Raises:
        InputError: frames are not square.
    """

    def __init__(
        self, config: NextFrameDiTConfig, backbone: BackboneConfig, grid: tuple[int, int], dim: int
    ):
        super().__init__(config)
        self.observed_frames, self.grid = config.observed_frames, grid
        self.dit = dit_of_patches(backbone, grid, dim * (1 + config.observed_frames), dim)

    @property
    def backbone(self) -> nn.Module:
        """The whole network."""
        return self.dit

    @property
    def blocks(self) -> nn.Module:
        """The transformer blocks, each with its own conditioning on the time."""
        return self.dit.transformer_blocks

    def encode(self, embeddings: Tensor, past: EncodedContext | None = None) -> EncodedContext:
        """Observed frames `[B, T, P, D]` after `past`, as they are: they are seen on channels."""
        if past is not None:
            embeddings = torch.cat([past.embeddings, embeddings], dim=1)
        return EncodedContext([], [], embeddings, embeddings)

    def clean(
        self, noisy: Tensor, time: Tensor, encoded: EncodedContext, visible: Visible
    ) -> Tensor:
        """The clean frames `[B, C, P, D]` of `noisy` ones, at times that broadcast to `[B, C]`."""
        seen = [
            encoded.embeddings.index_select(1, (visible.index - ago).clamp_min(0))
            for ago in range(1, self.observed_frames + 1)
        ]
        channels = torch.cat([noisy, *seen], dim=-1).flatten(0, 1)  # [B * C, P, (1 + K) * D]
        image = channels.transpose(1, 2).unflatten(2, self.grid)
        steps = TIME_SCALE * time.expand(noisy.shape[:2]).flatten()
        classes = torch.zeros(len(steps), dtype=torch.long, device=noisy.device)
        found = self.dit(image, steps, class_labels=classes).sample  # [B * C, D, rows, columns]
        return at_least_float32(found.flatten(2).transpose(1, 2).unflatten(0, noisy.shape[:2]))

    def features(self, context: Clips) -> dict[str, Tensor]:
        """Features after the last block, in the first pass."""
        found: list[Tensor] = []
        blocks: Any = self.blocks
        hook = blocks[-1].register_forward_hook(lambda _, __, tokens: found.append(tokens))
        try:
            with torch.no_grad():
                encoded, visible = self._encoded(context)
                noise = self.noise(encoded, visible, context.keys)
                self.clean(noise, noise.new_zeros(1, 1), encoded, visible)
        finally:
            hook.remove()
        return {"candidate": found[0].unflatten(0, noise.shape[:2])}
