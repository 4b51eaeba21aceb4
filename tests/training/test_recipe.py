import math

import pytest
import torch

from kdlib import models
from kdlib.errors import UserError
from kdlib.methods.kd import KnowledgeDistillation
from kdlib.methods.supervised import Supervised
from kdlib.training.recipe import Recipe, layers_of, make_optimizer, rate_factor, set_rate


def test_warm_up_then_cosine_to_zero():
    recipe = Recipe(epochs=10, learning_rate=1.0, warmup_epochs=2)
    assert [rate_factor(recipe, e) for e in (0, 1, 2, 6, 10)] == pytest.approx([0, 0.5, 1, 0.5, 0])


def test_steps_divide_by_ten():
    recipe = Recipe(epochs=9, learning_rate=1.0, schedule="step", milestones=(3, 6))
    assert [rate_factor(recipe, e) for e in (0, 3, 6)] == pytest.approx([1, 0.1, 0.01])


def test_groups_follow_decay_bias_and_backbone(tiny):
    recipe = Recipe(
        epochs=2, learning_rate=0.1, weight_decay=0.01, bias_multiplier=2.0,
        backbone_multiplier=0.5, schedule="constant",
    )  # fmt: skip
    method = KnowledgeDistillation(tiny(), [tiny(1)])
    optimizer = make_optimizer(method, recipe, method.student.head)
    set_rate(optimizer, recipe, 0)
    settings = {
        id(p): (group["lr"], group["weight_decay"])
        for group in optimizer.param_groups
        for p in group["params"]
    }
    named = dict(method.student.named_parameters())
    assert settings[id(named["head.fc.weight"])] == pytest.approx((0.1, 0.01))
    assert settings[id(named["head.fc.bias"])] == pytest.approx((0.2, 0.0))
    assert settings[id(named["backbone.0.0.weight"])] == pytest.approx((0.05, 0.01))
    assert settings[id(named["backbone.0.1.weight"])] == pytest.approx((0.05, 0.0))
    assert len(settings) == len(named)


def settings_of(module, **options):
    """Rate and decay by the parameter's name, at a peak of 1."""
    recipe = Recipe(epochs=1, learning_rate=1.0, weight_decay=0.5, bias_multiplier=2.0, **options)
    names = {id(parameter): name for name, parameter in module.named_parameters()}
    return {
        names[id(p)]: (group["lr"], group["weight_decay"])
        for group in make_optimizer(module, recipe).param_groups
        for p in group["params"]
    }


def test_resnet_as_reskd_s_released_constructor_groups_it():
    """Batch norm at once the rate, undecayed; the one bias, of the last layer, at twice."""
    with torch.device("meta"):
        found = settings_of(models.build("tsn", 400, backbone="resnet50"))
    norms = [name for name in found if found[name] == (1.0, 0.0)]
    assert len([name for name in norms if name.endswith("bias")]) == 53
    assert len(norms) == 2 * 53
    assert [name for name in found if found[name] == (2.0, 0.0)] == ["head.fc.bias"]
    assert len([name for name in found if found[name] == (1.0, 0.5)]) == 53 + 1


def test_swin_s_tables_of_positions_are_not_decayed():
    with torch.device("meta"):
        swin = models.build("swin3d", 400, backbone="swin3d_s")
    for options in ({}, {"decay_vectors": True}):
        found = settings_of(swin, **options)
        tables = [name for name in found if "relative_position_bias_table" in name]
        assert len(tables) == 24
        assert {found[name] for name in tables} == {(1.0, 0.0)}
    norms = {n for n, m in swin.named_modules() if isinstance(m, torch.nn.LayerNorm)}
    plain = settings_of(swin)
    assert {plain[name] for name in plain if name.rpartition(".")[0] in norms} == {(1.0, 0.0)}
    weights = {
        n for n, m in swin.named_modules() if isinstance(m, torch.nn.Linear | torch.nn.Conv3d)
    }
    assert {plain[f"{name}.weight"] for name in weights} == {(1.0, 0.5)}


class Tokens(torch.nn.Module):
    """The parts of a transformer that no layer of torch owns, under names that mislead."""

    def __init__(self):
        super().__init__()
        self.class_token = torch.nn.Parameter(torch.zeros(1, 1, 8))
        self.position_weight = torch.nn.Parameter(torch.zeros(1, 16, 8))
        self.table_bias = torch.nn.Parameter(torch.zeros(3))
        self.places = torch.nn.Embedding(5, 8)
        self.attention = torch.nn.MultiheadAttention(8, 2)
        self.unbias = torch.nn.GroupNorm(2, 8)


def test_groups_follow_the_kind_of_module_not_the_name():
    found, all_decay = settings_of(Tokens()), settings_of(Tokens(), decay_vectors=True)
    for name in ("class_token", "position_weight", "table_bias", "places.weight"):
        assert found[name] == all_decay[name] == (1.0, 0.0), name
    assert found["attention.in_proj_weight"] == found["attention.out_proj.weight"] == (1.0, 0.5)
    assert found["attention.in_proj_bias"] == found["attention.out_proj.bias"] == (2.0, 0.0)
    assert all_decay["attention.in_proj_bias"] == (2.0, 0.5)
    assert found["unbias.weight"] == found["unbias.bias"] == (1.0, 0.0)
    assert all_decay["unbias.weight"] == all_decay["unbias.bias"] == (1.0, 0.5)


def test_shared_parameters_are_stepped_once():
    first, second = torch.nn.Linear(3, 3), torch.nn.Linear(3, 3)
    second.weight = first.weight
    groups = make_optimizer(torch.nn.Sequential(first, second), Recipe(1, 0.1)).param_groups
    assert sum(len(group["params"]) for group in groups) == 3


def test_a_method_s_own_layers_do_not_learn_at_the_last_layer_s_rate(tiny):
    method = Supervised(tiny())
    method.projection = torch.nn.Linear(2, 3)
    recipe = Recipe(epochs=1, learning_rate=0.1, backbone_multiplier=0.01)
    optimizer = make_optimizer(method, recipe, method.student.head)
    rates = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    assert rates[id(method.projection.weight)] == pytest.approx(0.001)
    assert rates[id(method.student.head.fc.weight)] == pytest.approx(0.1)


def test_rates_decay_from_the_head_to_the_first_layer():
    method = Supervised(models.build("vit", 3, width=16, blocks=3, class_token=True, image=True))
    method.projection = torch.nn.Linear(2, 3)
    recipe = Recipe(epochs=1, learning_rate=1.0, layer_decay=0.5)
    layers = layers_of(method.student, recipe)
    optimizer = make_optimizer(method, recipe, method.student.head, layers)
    rates = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    found = {name: rates[id(parameter)] for name, parameter in method.named_parameters()}
    assert len(found) == len(rates)
    expected = {"embedding": 1 / 16, "blocks.0": 1 / 8, "blocks.1": 1 / 4, "blocks.2": 1 / 2}
    for name, rate in found.items():
        part = name.removeprefix("student.backbone.")
        own = next((rate for key, rate in expected.items() if part.startswith(key)), 1.0)
        assert rate == pytest.approx(own), name


def test_layer_decay_needs_layers(tiny):
    assert layers_of(tiny(), Recipe(epochs=1, learning_rate=1.0)) == ()
    with pytest.raises(UserError, match=r"recipe\.layer_decay: 1 for this student"):
        layers_of(tiny(), Recipe(epochs=1, learning_rate=1.0, layer_decay=0.9))


def test_adamw_forgets_squares_as_told():
    found = make_optimizer(torch.nn.Linear(2, 2), Recipe(1, 0.1, beta2=0.95))
    assert found.defaults["betas"] == (0.9, 0.95)


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_all_parameters_are_stepped_in_one_kernel_unless_gradients_are_clipped(name):
    layer = torch.nn.Linear(2, 2)
    assert make_optimizer(layer, Recipe(1, 0.1, optimizer=name)).defaults["fused"]
    clipped = make_optimizer(layer, Recipe(1, 0.1, optimizer=name, clip_norm=1.0))
    assert not clipped.defaults["fused"]


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ({"epochs": 0}, "epochs"),
        ({"learning_rate": -1.0}, "learning_rate"),
        ({"warmup_epochs": 9.0}, "warmup_epochs"),
        ({"milestones": (1,)}, "milestones"),
        ({"optimizer": "adam"}, "optimizer"),
        ({"momentom": 0.9}, "momentom"),
        ({"layer_decay": 1.5}, "layer_decay"),
        ({"label_smoothing": 1.0}, "label_smoothing"),
        ({"learning_rate": math.inf}, "learning_rate: Input should be a finite number"),
        ({"weight_decay": math.nan}, "weight_decay"),
    ],
)
def test_impossible_values_are_refused_by_name(fault, words):
    with pytest.raises(UserError, match=words) as caught:
        Recipe(**{"epochs": 2, "learning_rate": 0.1, **fault})
    assert "\n" not in str(caught.value)


def test_sgd_with_nesterov():
    recipe = Recipe(epochs=1, learning_rate=0.1, optimizer="sgd", nesterov=True)
    optimizer = make_optimizer(torch.nn.Linear(2, 2), recipe)
    assert isinstance(optimizer, torch.optim.SGD)
    assert optimizer.defaults["nesterov"]
