"""An encoder of your own: the mean colour of every patch.

python benchmarks/run.py --task next_frame --encoder.name own:examples.mean_colours:MeanColours
"""

import torch.nn.functional as F


class MeanColours:
    """Patches of `config.patch_size` pixels become three numbers each."""

    weights = None
    decodable = True
    isometric = True
    dim = 3

    def __init__(self, config, size):
        self.side = config.patch_size
        self.grid = (size // self.side, size // self.side)

    def encode(self, frames):  # [B, 3, height, width] to [B, P, 3]
        return F.avg_pool2d(frames, self.side).flatten(2).transpose(1, 2)

    def decode(self, embeddings):  # and back
        colours = embeddings.transpose(1, 2).unflatten(2, self.grid)
        return F.interpolate(colours, scale_factor=self.side)
