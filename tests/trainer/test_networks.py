"""Networks are built by name from a seed, behind any stem, for any image made of whole blocks; and they learn."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from blindsight.protocol.scheme import Descriptor
from blindsight.trainer.config import RunConfig
from blindsight.trainer.model import arch_of
from blindsight.trainer.networks import NETWORKS, Option, build
from blindsight.trainer.networks.dropout import Dropout, reseed
from blindsight.trainer.networks.orderless import Reference
from blindsight.trainer.optimizers import Optimizers
from blindsight.trainer.recipe import Recipe
from blindsight.trainer.stems import STEMS
from blindsight.trainer.weights import digest, pack
from tests.trainer.samples import LINEAR, images, network, one_thread, settled, stem_of

STEPS = 30
RATES = {"pyramidal": 0.002}
"""Learning rates where 0.02 is too high."""


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


def state(module: nn.Module) -> str:
    return digest(pack(module.state_dict()))


def losses(module: nn.Module, steps: int, *, batch: int = 16, lr: float = 0.02) -> list[float]:
    """Train on random labels of the same images."""
    optimizers = Optimizers(module.train(), Recipe(lr=lr, weight_decay=0.0))
    x, y = images(batch, (8, 8, 3)), torch.arange(batch) % 5
    found = []
    for _ in range(steps):
        loss = functional.cross_entropy(module(x), y)
        optimizers.step(loss, 1.0)
        found.append(loss.item())
    return found


# Every network behind every stem.


@pytest.mark.parametrize(("name", "stem"), list(itertools.product(NETWORKS, STEMS)))
def test_any_network_behind_any_stem_gives_logits_and_a_gradient_to_the_stem(name: str, stem: str) -> None:
    module = network(name, stem=stem, shape=(8, 8, 3)).train()
    logits = module(images(4, (8, 8, 3)))
    assert (logits.shape, logits.dtype) == ((4, 5), torch.float32)
    functional.cross_entropy(logits, torch.arange(4)).backward()
    gradients = {key: parameter.grad for key, parameter in module.named_parameters()}
    assert all(gradient is not None and torch.isfinite(gradient).all() for gradient in gradients.values())
    first = gradients["stem.blocks.weight"] if stem in (*LINEAR, "mixture") else next(iter(gradients.values()))
    assert first is not None
    assert first.abs().max() > 0


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_keeps_stem_and_head_under_their_names(name: str) -> None:
    module = network(name)
    assert {"stem", "head"} <= {child for child, _ in module.named_children()}
    assert "stem.blocks.weight" in module.state_dict()


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_gets_the_stem_it_wants_where_the_scheme_leaves_the_choice(name: str) -> None:
    config = RunConfig(network=name)
    for scheme, expected in (("le", stem_of(name)), ("plain", stem_of(name)), ("pixel", "position")):
        assert arch_of(Descriptor.of(scheme, (16, 16, 3)), 5, config)["stem"] == expected


@pytest.mark.parametrize("stem", LINEAR)
def test_the_key_dependent_tensor_has_its_name_and_spans_one_block(stem: str) -> None:
    for unit, block, units in (("nibble", 4, 6), ("byte", 8, 3), ("bit", 2, 24)):
        weight = network(stem=stem, unit=unit, block=block).state_dict()["stem.blocks.weight"]
        assert weight.shape[1:] == (units, block, block)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize(
    ("unit", "block", "shape"),
    [
        ("byte", 4, (32, 32, 3)),
        ("nibble", 4, (28, 28, 1)),
        ("bit", 8, (8, 8, 3)),
        ("nibble", 8, (24, 40, 3)),
        ("byte", 16, (112, 96, 3)),
    ],
)
def test_any_image_of_whole_blocks_is_classified(name: str, unit: str, block: int, shape: tuple[int, int, int]) -> None:
    module = network(name, unit=unit, block=block, shape=shape, classes=7).eval()
    with torch.inference_mode():
        logits = module(torch.zeros((2, *shape), dtype=torch.uint8))
    assert (logits.shape, logits.dtype) == ((2, 7), torch.float32)


@pytest.mark.parametrize("name", NETWORKS)
def test_an_answer_does_not_depend_on_the_images_beside_it(name: str) -> None:
    module, many = settled(network(name)), images(7)
    with torch.inference_mode():
        together, alone = module(many), torch.cat([module(many[row : row + 1]) for row in range(7)])
    assert together.std() > 1e-3
    assert (together - alone).abs().max() < 1e-5 * (1 + together.abs().max())


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_learns_random_labels(name: str) -> None:
    module = network(name, unit="byte", shape=(8, 8, 3))
    for part in module.modules():
        if isinstance(part, Dropout):
            part.dropped = 0
    found = losses(module, STEPS, lr=RATES.get(name, 0.02))
    assert np.mean(found[-5:]) < 0.5 * found[0]


# Weights from a seed.


@pytest.mark.parametrize("name", NETWORKS)
def test_the_same_seed_gives_the_same_weights_and_another_seed_others(name: str) -> None:
    assert state(network(name, 3)) == state(network(name, 3)) != state(network(name, 4))


@pytest.mark.parametrize("name", NETWORKS)
def test_neither_building_nor_training_reads_or_moves_the_global_random_state(name: str) -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = losses(network(name, shape=(8, 8, 3)), 2)
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(2)
    assert losses(network(name, shape=(8, 8, 3)), 2) == first


@pytest.mark.parametrize("name", NETWORKS)
def test_every_tensor_is_finite_and_on_the_processor(name: str) -> None:
    for key, tensor in network(name).state_dict().items():
        assert tensor.device.type == "cpu", key
        assert torch.isfinite(tensor).all(), key


def test_convolutions_are_stored_channels_last() -> None:
    weight = network().state_dict()["groups.0.0.weight"]
    assert weight.is_contiguous(memory_format=torch.channels_last)


def test_networks_have_the_sizes_of_the_literature() -> None:
    """Without their stems; figures of the papers or of what is usual for images of 32 x 32."""
    sizes = {"resnet18": 11.17e6, "wrn-16-4": 2.75e6, "pyramidnet-110": 1.77e6, "convmixer": 0.59e6}
    for name, expected in sizes.items():
        module = network(name, classes=10)
        size = sum(p.numel() for key, p in module.named_parameters() if not key.startswith("stem."))
        assert size == pytest.approx(expected, rel=0.01), name


# Dropout.


def test_dropout_keeps_its_share_scales_it_up_and_does_nothing_outside_training() -> None:
    dropout, features = Dropout(0.25), torch.ones(64, 8, 16, 16).to(memory_format=torch.channels_last)
    dropped = dropout(features)
    assert dropped.unique().tolist() == pytest.approx([0.0, 4 / 3])
    assert (dropped == 0).float().mean() == pytest.approx(0.25, abs=0.005)
    assert dropped.is_contiguous(memory_format=torch.channels_last)
    assert dropout.eval()(features) is features


def test_successive_steps_have_masks_of_their_own_that_follow_from_the_seed() -> None:
    features = torch.ones(1000)
    one, same = Dropout(0.5), Dropout(0.5)
    one.initialise(torch.Generator().manual_seed(1))
    same.initialise(torch.Generator().manual_seed(1))
    first, second = one(features), one(features)
    assert torch.equal(first, same(features))
    assert torch.equal(second, same(features))
    assert 300 < (first != second).sum() < 700


def test_layers_have_masks_of_their_own() -> None:
    module = network("pyramidal")
    seeds = [part.seed for part in module.modules() if isinstance(part, Dropout)]
    assert len(set(seeds)) == len(seeds) == 8
    reseed(module, np.random.default_rng(1))
    assert not {part.seed for part in module.modules() if isinstance(part, Dropout)} & set(seeds)


def test_nothing_is_drawn_for_a_network_without_dropout() -> None:
    rng = np.random.default_rng(1)
    reseed(network("small"), rng)
    assert rng.random() == np.random.default_rng(1).random()


def test_networks_with_dropout_train_side_by_side_in_threads_to_the_same_bits() -> None:
    def trained(seed: int) -> str:
        module = network("pyramidal", seed, shape=(8, 8, 3))
        reseed(module, np.random.default_rng(seed))
        losses(module, 3, batch=4)
        return state(module)

    alone = [trained(seed) for seed in range(3)]
    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(trained, range(3))) == alone


# Transformers.


def test_the_table_of_positions_has_one_row_a_patch_and_its_name() -> None:
    options: dict[str, Option] = {"dim": 24, "depth": 2, "heads": 4, "mlp": 40, "token": True, "eps": "1e-12"}
    module = network("vit", unit="byte", shape=(8, 12, 3), options=options)
    shapes = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
    assert shapes["positions"] == (6, 24)
    assert shapes["token"] == (1, 24)
    assert shapes["stem.blocks.weight"] == (24, 3, 4, 4)
    assert shapes["layers.1.attention.qkv.weight"] == (72, 24)
    assert shapes["layers.1.grow.weight"] == (40, 24)
    assert module.get_submodule("norm").eps == 1e-12
    assert module(images(2, (8, 12, 3))).shape == (2, 5)


def permuted(pictures: Tensor, block: int, rng: np.random.Generator) -> Tensor:
    """Whole blocks of each image in an order of its own."""
    n, h, w, c = pictures.shape
    apart = pictures.reshape(n, h // block, block, w // block, block, c).permute(0, 1, 3, 2, 4, 5).flatten(1, 2)
    apart = torch.stack([one[torch.from_numpy(rng.permutation(len(one)))] for one in apart])
    apart = apart.unflatten(1, (h // block, w // block)).permute(0, 1, 3, 2, 4, 5)
    return apart.reshape(n, h, w, c)


@pytest.mark.parametrize("options", [{}, {"token": False}, {"reference": False}], ids=str)
def test_the_orderless_transformer_does_not_see_the_order_of_patches(options: dict[str, Option]) -> None:
    module = network("vit-orderless", options=options).eval()
    plain = images(4)
    moved = permuted(plain, 4, np.random.default_rng(2))
    assert not torch.equal(plain, moved)
    with torch.inference_mode():
        torch.testing.assert_close(module(moved), module(plain), rtol=1e-5, atol=1e-5)


def test_the_transformer_with_positions_sees_it() -> None:
    module, plain = network("vit").eval(), images(4)
    with torch.inference_mode():
        seen, other = module(plain), module(permuted(plain, 4, np.random.default_rng(2)))
    assert (seen - other).abs().max() > 1e-3


def test_the_reference_adds_what_a_difference_tells() -> None:
    reference, patches = Reference(6), torch.randn(2, 3, 6, generator=torch.Generator().manual_seed(1))
    reference.initialise(torch.Generator().manual_seed(2))
    first, last = reference.told[0], reference.told[2]
    inner = torch.relu((patches - reference.point) @ first.weight.T + first.bias)
    expected = patches + torch.sigmoid(inner @ last.weight.T + last.bias)
    torch.testing.assert_close(reference(patches), expected)


def test_attention_is_the_textbooks() -> None:
    layer = copy.deepcopy(network("vit").get_submodule("layers.0.attention")).double()
    tokens = torch.randn(2, 7, 128, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    q, k, v = (tokens @ layer.qkv.weight.T + layer.qkv.bias).chunk(3, dim=2)  # (b, n, 128) each
    heads = []
    for part in range(2):
        at = slice(64 * part, 64 * part + 64)
        heads.append(torch.softmax(q[..., at] @ k[..., at].transpose(1, 2) / 8.0, dim=2) @ v[..., at])
    expected = torch.cat(heads, dim=2) @ layer.project.weight.T + layer.project.bias
    torch.testing.assert_close(layer(tokens), expected)


# Refusals.


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(ValueError, match=r"network must be one of small, .*, got 'large'"):
        build("large", stem="block", unit="byte", block=4, shape=(8, 8, 3), classes=5, upsample=2, seed=1)


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("small", {"dim": 3}, "an option of network small must be one of none, got 'dim'"),
        (
            "vit",
            {"width": 3},
            "an option of network vit must be one of dim, depth, heads, mlp, token, eps, got 'width'",
        ),
        ("vit", {"token": 1}, "option token of network vit must be bool, got 1"),
        ("vit", {"dim": True}, "option dim of network vit must be int, got True"),
        ("vit", {"heads": 5}, "heads must divide dim, got 5 and 128"),
        ("vit", {"depth": 0}, "must be at least 1, got 128, 0, 2 and 512"),
        ("vit-orderless", {"eps": "small"}, "eps must be a number above 0 and below 1, got 'small'"),
        ("vit", {"eps": "nan"}, "eps must be a number above 0 and below 1, got 'nan'"),
    ],
)
def test_options_that_a_network_does_not_have_are_refused(name: str, options: dict[str, Option], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        network(name, options=options)
