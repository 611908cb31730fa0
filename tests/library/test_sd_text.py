"""The text encoders of Stable Diffusion: equal to those of transformers."""

import pytest
import torch
from sd_reference import error
from sd_reference_text import ENCODERS, reference_text, text_ids

from minildm.stable_diffusion.text import TextConfig, TextEncoder

BOUND = {torch.float64: 1e-12, torch.float32: 1e-6}
CLIP_L = {  # as published for Stable Diffusion 1.5
    "architectures": ["CLIPTextModel"], "model_type": "clip_text_model", "vocab_size": 49408,
    "hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12,
    "num_attention_heads": 12, "max_position_embeddings": 77, "hidden_act": "quick_gelu",
    "layer_norm_eps": 1e-5, "projection_dim": 768, "bos_token_id": 0, "eos_token_id": 2,
    "pad_token_id": 1, "attention_dropout": 0.0, "dropout": 0.0, "torch_dtype": "float32",
}  # fmt: skip
OPENCLIP = {"hidden_act": "gelu", "intermediate_size": 4096, "hidden_size": 1024}
OPENCLIP_H = {  # of Stable Diffusion 2.1: without the last layer, which is not read
    **CLIP_L, **OPENCLIP, "num_hidden_layers": 23, "num_attention_heads": 16, "projection_dim": 512,
}  # fmt: skip
OPENCLIP_G = {  # the second one of SDXL
    **CLIP_L, "architectures": ["CLIPTextModelWithProjection"], "hidden_act": "gelu",
    "hidden_size": 1280, "intermediate_size": 5120, "num_hidden_layers": 32,
    "num_attention_heads": 20, "projection_dim": 1280,
}  # fmt: skip


def pair(kind, dtype):
    """(reference, ours) with the same weights; their names are the files' own."""
    reference = reference_text(kind, dtype)
    ours = TextEncoder(TextConfig.of(reference.config.to_dict())).to(dtype)
    state = {name.removeprefix("text_model."): x for name, x in reference.state_dict().items()}
    ours.load_state_dict(state, strict=True)
    return reference, ours


@pytest.mark.parametrize("dtype", BOUND)
@pytest.mark.parametrize("kind", ENCODERS)
def test_the_vectors_are_those_of_the_reference(kind, dtype):
    reference, ours = pair(kind, dtype)
    with torch.no_grad():
        said = reference(text_ids(), output_hidden_states=True)
        states = ours.states(text_ids())
        pooled = said.text_embeds if kind == "openclip-g" else said.pooler_output
        assert error(ours(text_ids()), said.last_hidden_state) < BOUND[dtype]
        assert error(states.last, said.last_hidden_state) < BOUND[dtype]
        assert error(states.penultimate, said.hidden_states[-2]) < BOUND[dtype]
        assert error(states.pooled, pooled) < BOUND[dtype]
        skipped = reference.text_model if kind == "openclip-g" else reference
        skipped = skipped.final_layer_norm(said.hidden_states[-2])
        assert error(ours(text_ids(), skip=1), skipped) < BOUND[dtype]


def test_a_word_knows_those_before_it_only():
    _, ours = pair("clip-l", torch.float64)
    ids = text_ids()
    other = ids.clone()
    other[:, 40:] = 7
    with torch.no_grad():
        change = (ours(ids) - ours(other)).abs().amax(dim=(0, 2))  # (77,)
    assert change[:40].max() == 0
    assert change[40:].min() > 0


@pytest.mark.parametrize(
    ("config", "tensors", "parameters"),
    [
        (CLIP_L, 196, 123_060_480),
        (OPENCLIP_H, 372, 340_387_840),
        (OPENCLIP_G, 517, 694_659_840),
    ],
)
def test_the_published_sizes(config, tensors, parameters):
    with torch.device("meta"):
        encoder = TextEncoder(TextConfig.of(config))
        states = encoder.states(torch.zeros(2, 77, dtype=torch.int64))
    state = encoder.state_dict()
    assert (len(state), sum(x.numel() for x in state.values())) == (tensors, parameters)
    dim = config["hidden_size"]
    assert [x.shape for x in states] == [(2, 77, dim), (2, 77, dim), (2, dim)]


def test_errors_name_what_does_not_fit():
    for change, words in [
        ({"hidden_act": "relu"}, r"hidden_act\) must be quick_gelu or gelu; got 'relu'"),
        ({"model_type": "t5"}, "model_type = 't5' is not supported, only 'clip_text_model'"),
        ({"num_attention_heads": 7}, "heads must divide dim = 768; got 7"),
        ({"hidden_size": 0}, "dim must be"),
    ]:
        with pytest.raises(ValueError, match=words):
            TextConfig.of({**CLIP_L, **change})
    with pytest.raises(ValueError, match="this config has no hidden_size, num_hidden_layers"):
        TextConfig.of({"vocab_size": 9, "intermediate_size": 9, "num_attention_heads": 1})
    encoder = TextEncoder(TextConfig(vocabulary=300, dim=8, hidden=8, layers=1, heads=2))
    with pytest.raises(ValueError, match=r"ids must be int64 \(B, L\), L <= 77; got .* \(1, 78\)"):
        encoder(torch.zeros(1, 78, dtype=torch.int64))
    with pytest.raises(ValueError, match=r"ids must be in 0\.\.299; got 0\.\.300: is it the token"):
        encoder(torch.tensor([[0, 300]]))
