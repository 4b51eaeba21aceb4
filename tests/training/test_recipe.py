import pytest
import torch
from pydantic import ValidationError

from kdlib.methods.kd import KnowledgeDistillation
from kdlib.methods.supervised import Supervised
from kdlib.training.recipe import Recipe, make_optimizer, rate_factor, set_rate


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


def test_a_method_s_own_layers_do_not_learn_at_the_last_layer_s_rate(tiny):
    method = Supervised(tiny())
    method.projection = torch.nn.Linear(2, 3)
    recipe = Recipe(epochs=1, learning_rate=0.1, backbone_multiplier=0.01)
    optimizer = make_optimizer(method, recipe, method.student.head)
    rates = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    assert rates[id(method.projection.weight)] == pytest.approx(0.001)
    assert rates[id(method.student.head.fc.weight)] == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ({"epochs": 0}, "epochs"),
        ({"learning_rate": -1.0}, "learning_rate"),
        ({"warmup_epochs": 9.0}, "warmup_epochs"),
        ({"milestones": (1,)}, "milestones"),
        ({"optimizer": "adam"}, "optimizer"),
        ({"momentom": 0.9}, "momentom"),
    ],
)
def test_impossible_values_are_refused_by_name(fault, words):
    with pytest.raises(ValidationError, match=words):
        Recipe(**{"epochs": 2, "learning_rate": 0.1, **fault})


def test_sgd_with_nesterov():
    recipe = Recipe(epochs=1, learning_rate=0.1, optimizer="sgd", nesterov=True)
    optimizer = make_optimizer(torch.nn.Linear(2, 2), recipe)
    assert isinstance(optimizer, torch.optim.SGD)
    assert optimizer.defaults["nesterov"]
