"""Learned queries against torch's own attention module."""

import numpy as np
import torch
from scipy.special import softmax
from torch import nn

from derm.heads.attention_pool import AttentionPool, attention_pool
from tests.derm.heads.data import head_params, random_head, shape


def drawn(seed: int = 0) -> AttentionPool:
    torch.manual_seed(seed)
    params = head_params(queries=3, query_width=4, dropout=0.5, input_dropout=0.5)
    return attention_pool(params, 5).double().eval()


TOKENS = torch.from_numpy(np.random.default_rng(0).normal(size=(6, 9, 5)))


def test_it_is_torchs_attention_with_one_head_and_nothing_after_it() -> None:
    pool = drawn()
    oracle = nn.MultiheadAttention(4, 1, kdim=5, vdim=5, batch_first=True, dtype=torch.float64)
    with torch.no_grad():
        oracle.q_proj_weight.copy_(torch.eye(4))
        oracle.k_proj_weight.copy_(pool.keys.weight)
        oracle.v_proj_weight.copy_(pool.values.weight)
        oracle.in_proj_bias.copy_(torch.cat([torch.zeros(4), pool.keys.bias, pool.values.bias]))
        oracle.out_proj.weight.copy_(torch.eye(4))
        oracle.out_proj.bias.zero_()
        expected, _ = oracle(pool.queries.expand(6, -1, -1), TOKENS, TOKENS)
        actual = pool(TOKENS)
    assert actual.shape == (6, pool.width) == (6, 12)
    torch.testing.assert_close(actual, expected.flatten(1), rtol=1e-12, atol=1e-12)


def test_dropout_is_on_the_patches_channels_and_on_what_comes_out() -> None:
    """With the softmax written out."""
    pool, generator = drawn(), torch.Generator().manual_seed(1)
    for layer in (pool.input_dropout, pool.dropout):
        layer.hold(generator)
    entering, leaving = pool.input_dropout.held, pool.dropout.held
    assert entering is not None and leaving is not None and 0 < entering.count_nonzero() < 5
    of = {name: parameter.detach().numpy() for name, parameter in pool.named_parameters()}
    patches = TOKENS.numpy() * entering.numpy()
    keys, values = patches @ of["keys.weight"].T + of["keys.bias"], patches @ of["values.weight"].T + of["values.bias"]
    weights = softmax(np.einsum("qw,npw->nqp", of["queries"], keys) / 2, axis=2)  # the square root of 4 is 2
    expected = np.einsum("nqp,npw->nqw", weights, values).reshape(6, 12) * leaving.numpy()
    np.testing.assert_allclose(pool(TOKENS).detach(), expected, rtol=1e-6, atol=1e-9)


def test_the_order_of_the_patches_does_not_count() -> None:
    pool = drawn()
    torch.testing.assert_close(pool(TOKENS[:, torch.randperm(9)]), pool(TOKENS), rtol=1e-12, atol=1e-12)


def test_queries_start_apart_from_each_other() -> None:
    """Equal ones would get equal gradients and stay equal for ever."""
    pool = drawn()
    assert pool.queries.std(0).min() > 0.1
    pool.reset_parameters()
    assert 0.5 < pool.queries.std() < 1.6


def test_parameters_counted_by_hand() -> None:
    """A query each, one map to keys and one to values with their biases, and the output layer."""
    head = random_head(shape(1280, 7, type="attention_pool"))
    expected = 4 * 64 + 2 * (64 * 1280 + 64) + 7 * 4 * 64 + 7
    assert sum(parameter.numel() for parameter in head.parameters()) == expected
