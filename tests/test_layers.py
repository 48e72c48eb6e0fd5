import functools
from collections.abc import Callable

import pytest
import torch
from transformers import LlamaConfig, LlamaModel

from worldmodel.backbone import ContextEncoder, EncodedContext, Transformer
from worldmodel.config import BackboneConfig


def test_stack_equals_hugging_face_llama_with_the_same_weights() -> None:
    ours_config = BackboneConfig(layers=3, heads=4, width=64)
    torch.manual_seed(0)
    ours = Transformer(ours_config, grid=(1, 1))
    llama = LlamaModel(
        LlamaConfig(
            vocab_size=8,
            hidden_size=64,
            intermediate_size=ours_config.resolved_hidden,
            num_hidden_layers=3,
            num_attention_heads=4,
            rms_norm_eps=1e-6,
            rope_theta=10_000.0,
        )
    ).eval()
    names = {
        "self_attn.q_proj": "attention.query",
        "self_attn.k_proj": "attention.key",
        "self_attn.v_proj": "attention.value",
        "self_attn.o_proj": "attention.output",
        "mlp.gate_proj": "feed_forward.gate",
        "mlp.up_proj": "feed_forward.up",
        "mlp.down_proj": "feed_forward.down",
        "input_layernorm": "attention_norm",
        "post_attention_layernorm": "feed_forward_norm",
    }
    state = ours.state_dict()
    for key in list(state):
        if key.startswith("blocks."):
            state[key] = torch.randn_like(state[key]) * 0.1 + (state[key].ndim == 1)
    ours.load_state_dict(state)
    for layer in range(3):
        for theirs, mine in names.items():
            module = llama.layers[layer].get_submodule(theirs)
            module.weight.data.copy_(state[f"blocks.{layer}.{mine}.weight"])
    tokens = torch.randn(2, 10, 1, 64)
    features, _, _ = ours(tokens)
    expected = llama(inputs_embeds=tokens[:, :, 0]).last_hidden_state
    assert torch.allclose(features[:, :, 0], expected, atol=1e-5)


def context_encoder(grid: tuple[int, int]) -> Callable[..., EncodedContext]:
    config = BackboneConfig(layers=2, heads=2, width=32)
    return functools.partial(ContextEncoder(config, grid, dim=6), Transformer(config, grid))


@pytest.mark.parametrize("grid", [(1, 1), (2, 3)])
def test_context_is_causal_over_frames_and_dense_within_one(grid: tuple[int, int]) -> None:
    torch.manual_seed(0)
    patches = grid[0] * grid[1]
    encode = context_encoder(grid)
    frames = torch.randn(1, 5, patches, 6, requires_grad=True)
    features = encode(frames).features
    (gradient,) = torch.autograd.grad(features[:, 2, 0].square().sum(), frames)
    reached = gradient.abs().amax((0, 2, 3))
    assert (reached[:3] > 0).all()
    assert (reached[3:] == 0).all()
    assert (gradient[0, 2].abs().amax(1) > 0).all()


def test_encoding_frame_by_frame_equals_encoding_at_once() -> None:
    torch.manual_seed(0)
    encode = context_encoder((2, 2))
    frames = torch.randn(3, 6, 4, 6)
    whole = encode(frames)
    parts = encode(frames[:, :3])
    for frame in range(3, 6):
        parts = encode(frames[:, frame : frame + 1], parts)
    assert torch.allclose(whole.features, parts.features, atol=1e-5)
    assert torch.allclose(whole.keys[1], parts.keys[1], atol=1e-5)
    assert torch.equal(whole.embeddings, parts.embeddings)
