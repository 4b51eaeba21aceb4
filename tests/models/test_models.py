import pytest

from kdlib import models
from kdlib.errors import UserError


def test_names_are_the_modules_that_build():
    some = {"c3d", "r2plus1d", "shufflenet3d", "slowonly", "swin3d", "tsm", "tsn"}
    assert some <= set(models.names())
    assert not {"base", "cost", "stages"} & set(models.names())


def test_options_reach_the_model():
    assert models.build("c3d", 3, width=8).channels == 32
    assert models.build("c3d", 3).classes == 3


@pytest.mark.parametrize(
    ("name", "classes", "options", "message"),
    [
        ("swin", 3, {}, "model: unknown value 'swin'.*Did you mean 'swin3d'"),
        ("cost", 3, {}, "model: unknown value 'cost'"),
        ("../c3d", 3, {}, "model: unknown value"),
        ("c3d", 3, {"widht": 8}, "option of model c3d: unknown value 'widht'.*mean 'width'"),
        ("c3d", 3, {"width": "8"}, "model c3d.width: '8'.*integer"),
        ("c3d", 3, {"width": 8.5}, "model c3d.width: 8.5.*integer"),
        ("c3d", 3, {"width": True}, "model c3d.width: True.*integer"),
        ("c3d", 3, {"width": 0}, "model c3d.width: 0.*greater than 0"),
        ("c3d", 3, {"width": {1}}, "model c3d.width: {1}.*must be plain"),
        ("c3d", 3, {"dropout": 1.0}, "model c3d.dropout: 1.0.*less than 1"),
        ("c3d", 3, {"dropout": float("nan")}, "model c3d.dropout: nan"),
        ("c3d", 0, {}, "model c3d.classes: 0.*greater than 0"),
        (
            "tsn",
            3,
            {"backbone": "resnet51"},
            "tsn.backbone: unknown.*Did you mean 'resnet50'",
        ),
        ("tsn", 3, {"backbone": ["micro"]}, "model tsn.backbone: unknown"),
    ],
)
def test_mistakes_are_named_in_one_line(name, classes, options, message):
    with pytest.raises(UserError, match=message) as error:
        models.build(name, classes, **options)
    assert "\n" not in str(error.value)
