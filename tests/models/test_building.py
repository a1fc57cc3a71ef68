"""Model functions called: both styles, the errors, what is said of a model."""

from __future__ import annotations

import functools
import textwrap

import pytest

from kerasgrid.errors import ModelError, NoModelError

keras = pytest.importorskip("keras")

from kerasgrid.models.building import build_model  # noqa: E402
from kerasgrid.models.fc import fc  # noqa: E402
from kerasgrid.models.hyperparameters import declared, hp_signature, hp_space  # noqa: E402
from kerasgrid.models.loading import load_function  # noqa: E402
from kerasgrid.models.references import parse_reference  # noqa: E402
from kerasgrid.models.signature import signature_of  # noqa: E402
from kerasgrid.models.vgg import bn_cnn  # noqa: E402
from kerasgrid.records import Target  # noqa: E402
from kerasgrid.space.reading import read_space  # noqa: E402

pytestmark = pytest.mark.slow

layers = keras.layers


@pytest.fixture(autouse=True)
def _no_graphs_left():
    yield
    keras.backend.clear_session(free_memory=False)


def net(outputs: int = 3, inputs: tuple = (4,), activation: str = "softmax") -> keras.Model:
    return keras.Sequential(
        [keras.Input(inputs), layers.Flatten(), layers.Dense(outputs, activation=activation)]
    )


THREE = Target("classes", (0, 1, 2))


def build(function, params=None, shape=(4,), target=THREE, **given) -> keras.Model:
    return build_model(function, signature_of(function), params or {}, shape, target, **given)


def test_params_reach_the_function():
    model = build(fc, {"units": [5, 6], "dropout": 0}, (4, 4, 1))
    assert [layer.units for layer in model.layers if isinstance(layer, layers.Dense)] == [5, 6, 3]


def test_signature_may_be_left_to_look_up():
    assert build_model(fc, None, {"units": [5]}, (4,), THREE).output_shape == (None, 3)


def test_only_what_is_named_is_passed():
    seen = {}

    def bare():
        return net()

    def some(n_classes, width=1):
        seen["some"] = (n_classes, width)
        return net(n_classes)

    def everything(**options):
        seen["everything"] = options
        return net(options["n_classes"], options["input_shape"])

    build(bare)
    build(some, {"width": 9})
    build(everything, {"x": 1}, [4])
    assert seen == {"some": (3, 9), "everything": {"input_shape": (4,), "n_classes": 3, "x": 1}}


def test_compiled_models_stay_compiled():
    def compiled(n_classes):
        model = net(n_classes)
        model.compile(optimizer=keras.optimizers.SGD(0.5), loss="mse")
        return model

    model = build(compiled)
    assert type(model.optimizer).__name__ == "SGD"
    assert model.compiled


@pytest.mark.parametrize(("outputs", "n_classes"), [(2, 2), (1, 2), (7, 7)])
def test_outputs_that_fit(outputs, n_classes):
    target = Target("classes", tuple(range(n_classes)))
    assert build(lambda: net(outputs), target=target).output_shape == (None, outputs)


@pytest.mark.parametrize("target", [Target("numbers", ("y",)), Target("numbers", ("y", "z"))])
def test_numbers_are_told_by_how_many_they_are(target):
    n, seen = target.n_outputs, {}

    def named(input_shape, n_outputs, multi_label, n_categories, n_classes=7):
        seen.update(n_outputs=n_outputs, is_of=(multi_label, n_categories, n_classes))
        return net(n_outputs, activation=None)

    assert build(named, target=target, n_categories=[3, 4]).output_shape == (None, n)
    assert seen == {"n_outputs": n, "is_of": (False, (3, 4), 7)}
    assert build(lambda **given: net(given["n_outputs"], given["input_shape"]), target=target)
    assert build(fc, {"units": [5]}, target=target).layers[-1].activation is keras.activations.linear


class Subclassed(keras.Model):
    def __init__(self, n_classes):
        super().__init__()
        self.dense = layers.Dense(n_classes)

    def call(self, x):
        return self.dense(x)


def test_classes_and_models_without_an_input():
    model = build(Subclassed)
    assert model.built
    assert model.count_params() == 15
    unbuilt = build(lambda: keras.Sequential([layers.Dense(3)]))
    assert unbuilt.output_shape == (None, 3)


def test_inputs_of_any_size_fit():
    inputs = keras.Input((None, None, 1))
    outputs = layers.Dense(3)(layers.GlobalAveragePooling2D()(inputs))
    assert build(lambda: keras.Model(inputs, outputs), shape=(8, 8, 1)).input_shape == (None, None, None, 1)


def two_inputs():
    inputs = [keras.Input((4,)), keras.Input((4,))]
    return keras.Model(inputs, layers.Dense(3)(layers.Add()(inputs)))


def two_outputs():
    inputs = keras.Input((4,))
    return keras.Model(inputs, [layers.Dense(3)(inputs), layers.Dense(3)(inputs)])


def needs(width, depth):
    return net()


@pytest.mark.parametrize(
    ("function", "params", "message"),
    [
        (
            fc,
            {"unit": [3]},
            "fc has no parameter 'unit'. Did you mean 'units'? Known: activation, batch_norm, ",
        ),
        (fc, {"input_shape": 3}, "fc has no parameter 'input_shape'. Known: activation, "),
        (needs, {"width": 1}, "needs needs depth: give a value in params or space."),
        (lambda: None, {}, "<lambda> returned NoneType, but must return a keras.Model: does it end with "),
        (lambda: layers.Dense(3), {}, "<lambda> returned Dense, but must return a keras.Model."),
        (
            lambda: net(5),
            {},
            "<lambda>: the model's output is (None, 5), but 3 classes need (None, 3). End it with "
            "Dense(n_classes).",
        ),
        (lambda: net(1), {}, "<lambda>: the model's output is (None, 1), but 3 classes need (None, 3)."),
        (
            lambda: keras.Sequential([keras.Input((4, 4)), layers.Dense(3)]),
            {},
            "<lambda>: the model takes (None, 4, 4), but the data gives (None, 4). Use "
            "input_shape in the function.",
        ),
        (lambda: net(inputs=(5,)), {}, "<lambda>: the model takes (None, 5), but the data gives (None, 4)."),
        (
            two_inputs,
            {},
            "two_inputs: the model takes (None, 4) and (None, 4), but the data gives (None, 4).",
        ),
        (
            two_outputs,
            {},
            "two_outputs: the model's output is [(None, 3), (None, 3)], but 3 classes need (None, 3).",
        ),
        (
            lambda: keras.Sequential([layers.Conv2D(3, 3)]),
            {},
            "<lambda>: the model cannot take (None, 4): ValueError: ",
        ),
        (
            functools.partial(fc, dropout=2),
            {},
            "dropout is 2, but must be a number from 0 (none) to below 1.",
        ),
    ],
)
def test_messages(function, params, message):
    with pytest.raises(ModelError) as caught:
        build(function, params)
    assert str(caught.value).startswith(message)


def test_two_classes_name_both_shapes():
    with pytest.raises(ModelError, match=r"is \(None, 3\), but 2 classes need \(None, 2\) or \(None, 1\)\."):
        build(net, {"outputs": 3}, target=Target("classes", ("no", "yes")))


@pytest.mark.parametrize(
    ("function", "names", "message"),
    [
        (net, "y", "net: the model's output is (None, 3), but one number needs (None, 1). End it with "),
        (net, "yz", "net: the model's output is (None, 3), but 2 numbers need (None, 2). End it with "),
        (
            two_outputs,
            "yzw",
            "two_outputs: the model's output is [(None, 3), (None, 3)], but 3 numbers need ",
        ),
        (
            Subclassed,
            "yzw",
            "Subclassed: needs n_classes, but numbers are predicted (data.target), and no classes: name "
            "n_outputs in its place, and end the model in Dense(n_outputs). ",
        ),
    ],
)
def test_messages_of_numbers(function, names, message):
    with pytest.raises(ModelError) as caught:
        build(function, target=Target("numbers", tuple(names)))
    assert str(caught.value).startswith(message)


def test_built_in_says_why_it_cannot():
    with pytest.raises(ModelError, match=r"^bn_cnn: input_shape is \(4,\), but its convolutions need images"):
        build(bn_cnn)


@pytest.fixture
def load(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def load(text: str, name: str = "build"):
        (tmp_path / "mine.py").write_text(textwrap.dedent(text), encoding="utf-8")
        return load_function(parse_reference(f"mine.py:{name}", tmp_path))

    return load


def test_an_error_names_the_line_in_the_users_file(load):
    function = load("""
        import keras

        def build(n_classes, width):
            layer = make(width)
            return layer

        def make(width):
            return keras.layers.Dropout(width)
    """)
    with pytest.raises(ModelError) as caught:
        build(function, {"width": -3})
    assert str(caught.value).startswith("mine.py:9, build: ValueError: ")
    assert "-3" in str(caught.value)


def test_an_error_without_a_message(load):
    function = load("def build():\n    raise KeyError")
    with pytest.raises(ModelError) as caught:
        build(function)
    assert str(caught.value) == "mine.py:2, build: KeyError: no message"


def test_missing_memory_is_no_fault_of_the_function():
    def greedy():
        raise MemoryError

    with pytest.raises(MemoryError):
        build(greedy)


HYPER = """
    import keras
    import keras_tuner

    def build(hp, depth=1):
        model = keras.Sequential()
        for _ in range(depth):
            model.add(keras.layers.Dense(hp.Choice("units", [8, 16])))
        kind = hp.Choice("kind", ["plain", "noisy"])
        with hp.conditional_scope("kind", ["noisy"]):
            if kind == "noisy":
                model.add(keras.layers.GaussianNoise(hp.Float("noise", 0.1, 1.0, sampling="log")))
        if hp.Boolean("dropout"):
            model.add(keras.layers.Dropout(hp.Float("rate", 0.1, 0.5, step=0.1)))
        model.add(keras.layers.Dense(hp.Fixed("classes", 3), activation="softmax"))
        width = hp.Int("unused", 1, 4, default=2)
        return model

    class Net(keras_tuner.HyperModel):
        def build(self, hp):
            if hp.Int("units", 1, 9) > 8:
                raise ValueError("too wide")
            return build(hp)

    def twice(hp):
        hp.Choice("kind", ["a", "b"])
        with hp.conditional_scope("kind", ["a"]):
            hp.Int("n", 1, 4)
        with hp.conditional_scope("kind", ["b"]):
            hp.Int("n", 1, 5)
        return build(hp)

    def shared(hp):
        hp.Choice("kind", ["plain", "noisy", "other"])
        for value in ("plain", "other"):
            with hp.conditional_scope("kind", [value]):
                hp.Int("n", 1, 4)
        return build_shared(hp)

    def build_shared(hp):
        return keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
"""


def test_hp_values_win(load):
    function = load(HYPER)
    model = build(function, {"units": 32, "dropout": True, "rate": 0.25, "depth": 2})
    assert [layer.units for layer in model.layers if isinstance(layer, layers.Dense)] == [32, 32, 3]
    assert [layer.rate for layer in model.layers if isinstance(layer, layers.Dropout)] == [0.25]


def test_hp_conditions_hold(load):
    function = load(HYPER)
    noisy = build(function, {"kind": "noisy", "noise": 0.5})
    assert [layer.stddev for layer in noisy.layers if isinstance(layer, layers.GaussianNoise)] == [0.5]
    plain = build(function, {"kind": "plain"})
    assert not [layer for layer in plain.layers if isinstance(layer, layers.GaussianNoise)]


def test_hp_model_class(load):
    function = load(HYPER, "Net")
    assert build(function, {"units": 5}).layers[0].units == 5
    with pytest.raises(ModelError) as caught:
        build(function, {"units": 9})
    assert str(caught.value) == "mine.py:22, Net.build: ValueError: too wide"


def test_hp_name_that_is_not_asked_for(load):
    with pytest.raises(ModelError) as caught:
        build(load(HYPER), {"unit": 8})
    assert str(caught.value) == (
        "build did not ask hp for 'unit' with these params. Did you mean 'units'? Known: classes, dropout, "
        "kind, units, unused. If it does so only beside some values, search them as a list of spaces."
    )


def test_hp_space(load):
    assert hp_space(load(HYPER)) == {
        "units": {"kind": "choice", "default": 8, "values": [8, 16], "when": []},
        "kind": {"kind": "choice", "default": "plain", "values": ["plain", "noisy"], "when": []},
        "dropout": {"kind": "boolean", "default": False, "when": []},
        "classes": {"kind": "fixed", "default": 3, "value": 3, "when": []},
        "unused": {
            "kind": "int",
            "default": 2,
            "low": 1,
            "high": 4,
            "step": 1,
            "sampling": "linear",
            "when": [],
        },
        "rate": {
            "kind": "float",
            "default": 0.1,
            "low": 0.1,
            "high": 0.5,
            "step": 0.1,
            "sampling": "linear",
            "when": [{"dropout": [True]}],
        },
        "noise": {
            "kind": "float",
            "default": 0.1,
            "low": 0.1,
            "high": 1.0,
            "step": None,
            "sampling": "log",
            "when": [{"kind": ["noisy"]}],
        },
    }


def test_hp_space_with_alternative_conditions(load):
    assert hp_space(load(HYPER, "shared"))["n"]["when"] == [{"kind": ["plain"]}, {"kind": ["other"]}]


def test_hp_space_with_one_name_for_two(load):
    with pytest.raises(ModelError) as caught:
        hp_space(load(HYPER, "twice"))
    assert str(caught.value) == (
        "twice declares the hyperparameter 'n' twice with different values: give the two different names."
    )


PLAIN_HYPER = """
    import keras

    def build(hp, depth=1):
        hp.Choice("units", [8, 16])
        hp.Boolean("dropout")
        hp.Fixed("classes", 3)
        hp.Int("width", 1, 4)
        hp.Float("noise", 0.1, 1.0, sampling="log")
        return keras.Sequential()

    def plain(input_shape, n_classes, width=3): pass

    def command(hp, called=[]):
        called.append(hp.Choice("units", [8, 16]))
        return str(called)
"""


def test_what_a_function_declares_is_as_grid_yaml_would_have_it(load):
    signature, space = declared(load(PLAIN_HYPER))
    assert (signature.style, signature.names[0]) == ("hp", "depth")
    assert space == {
        "units": [8, 16],
        "dropout": [False, True],
        "width": {"low": 1, "high": 4, "type": "int", "step": 1},
        "noise": {"low": 0.1, "high": 1.0, "type": "float", "log": True},
    }
    signature, space = declared(load(PLAIN_HYPER, "plain"))
    assert (signature.style, signature.names, space) == ("build", ("width",), {})


def test_what_declares_a_space_and_returns_no_model_is_called_once(load):
    function = load(PLAIN_HYPER, "command")
    with pytest.raises(NoModelError, match=r"^command returned str, but must return a keras\.Model\.$"):
        declared(function)
    assert function.__defaults__ == ([8],)


def test_conditions_are_as_grid_yaml_would_have_them(load):
    space = declared(load(HYPER))[1]
    noise, rate = {"low": 0.1, "high": 1.0, "log": True}, {"low": 0.1, "high": 0.5, "step": 0.1}
    assert space["noise"] == {**noise, "type": "float", "when": {"kind": ["noisy"]}}
    assert space["rate"] == {**rate, "type": "float", "when": {"dropout": [True]}}
    assert declared(load(HYPER, "shared"))[1]["n"]["when"] == {"kind": ["plain", "other"]}
    assert not read_space(space)[1]


LOOP = """
    import keras

    def build(hp):
        model = keras.Sequential()
        for i in range(hp.Int("num_layers", 1, 3)):
            model.add(keras.layers.Dense(hp.Int(f"units_{i}", 8, 16, step=8)))
            if hp.Boolean(f"dropout_{i}"):
                model.add(keras.layers.Dropout(0.25))
        model.add(keras.layers.Dense(3, activation="softmax"))
        hp.Float("lr", 1e-4, 1e-2, sampling="log")
        return model
"""


def test_what_a_loop_asks_for_holds_beside_the_values_that_reach_it(load):
    space = hp_space(load(LOOP))
    assert [name for name in space if name.startswith("units")] == ["units_0", "units_1", "units_2"]
    assert space["units_0"]["when"] == []
    assert space["units_1"]["when"] == space["dropout_1"]["when"] == [{"num_layers": [2, 3]}]
    assert space["units_2"]["when"] == [{"num_layers": [3]}]
    assert space["lr"]["when"] == []
    function = load(LOOP)
    found, faults = read_space({n: s for n, s in declared(function)[1].items() if n != "lr"})
    assert not faults
    assert len(found) == 4 + 4**2 + 4**3
    for params in (found[0], found[7], found[-1]):
        assert len([x for x in build(function, params).layers if isinstance(x, layers.Dense)]) == (
            params["num_layers"] + 1
        )


NESTED = """
    import keras

    def build(hp):
        model = keras.Sequential()
        for i in range(hp.Int("layers", 1, 3)):
            model.add(keras.layers.Dense(8))
            if hp.Boolean(f"drop_{i}"):
                model.add(keras.layers.Dropout(hp.Choice(f"rate_{i}", [0.1, 0.2])))
        if hp.Choice("kind", ["a", "b"]) == "b" and hp.Boolean("wide"):
            hp.Choice("width", [1, 2])
        if hp.Choice("p", [1, 2]) == 2 and hp.Boolean("deep"):
            if hp.Choice("q", [1, 2]) == 2:
                hp.Choice("r", [1, 2])
        model.add(keras.layers.Dense(3, activation="softmax"))
        return model

    def pair(hp):
        a, b = hp.Boolean("a"), hp.Boolean("b")
        if a and b:
            hp.Choice("both", [1, 2])
        return keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
"""


def test_conditions_within_conditions_of_a_loop_are_found(load):
    space = hp_space(load(NESTED))
    assert space["rate_0"]["when"] == [{"drop_0": [True]}]
    for place in (1, 2):
        assert space[f"rate_{place}"]["when"][0][f"drop_{place}"] == [True]
        assert space[f"drop_{place}"]["when"] == [{"layers": [2, 3] if place == 1 else [3]}]
    assert space["r"]["when"][0]["q"] == [2]


def test_what_two_values_together_ask_for_is_found(load):
    assert hp_space(load(NESTED, "pair"))["both"]["when"] == [{"a": [True], "b": [True]}]


NET = """
    import keras

    built = []

    def build(hp):
        built.append(hp)
        if hp.Boolean("augment"):
            hp.Choice("flip", ["h", "v"])
        for i in range(hp.Int("blocks", 1, 5)):
            hp.Int(f"filters_{i}", 32, 256, step=32)
            for j in range(hp.Int(f"convs_{i}", 1, 3)):
                hp.Choice(f"kernel_{i}_{j}", [3, 5])
            if hp.Boolean(f"bn_{i}", default=True):
                hp.Float(f"momentum_{i}", 0.8, 0.99)
            if hp.Boolean(f"drop_{i}"):
                hp.Float(f"rate_{i}", 0.1, 0.5)
        if hp.Choice("optimizer", ["sgd", "adam", "rmsprop"]) == "sgd":
            nesterov = hp.Boolean("nesterov")
            if hp.Boolean("momentum", default=True) and nesterov:
                hp.Float("mu", 0.0, 0.9)
        return keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
"""


def test_loops_within_loops_take_about_a_build_a_value(load):
    function = load(NET)
    space = hp_space(function)
    assert len(function.__globals__["built"]) < 300
    assert space["flip"]["when"] == [{"augment": [True]}]
    for i in range(5):
        reached = {"blocks": list(range(i + 1, 6))} if i else {}
        assert space[f"filters_{i}"]["when"] == ([reached] if i else [])
        assert space[f"kernel_{i}_1"]["when"] == [{**reached, f"convs_{i}": [2, 3]}]
        assert space[f"momentum_{i}"]["when"] == [{**reached, f"bn_{i}": [True]}]
        assert space[f"rate_{i}"]["when"] == [{**reached, f"drop_{i}": [True]}]
    assert space["mu"]["when"] == [{"optimizer": ["sgd"], "nesterov": [True], "momentum": [True]}]


def test_what_is_asked_for_in_the_last_builds_alone_is_found(load):
    source = """
        import keras

        def build(hp):
            first = hp.Choice("a", ["x", "y", "z"]) == "z" and hp.Boolean("b") and not hp.Boolean("c")
            if first and hp.Boolean("d") and hp.Boolean("e", default=True):
                if hp.Int("n", 1, 20) > 12:
                    hp.Choice("deep", [1, 2])
            return keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    """
    when = hp_space(load(source))["deep"]["when"]
    held = {"a": ["z"], "b": [True], "c": [False], "d": [True], "e": [True], "n": list(range(13, 21))}
    assert when == [held]


def test_a_hyperparameter_that_the_search_does_not_know_is_no_default(load):
    function = load(NESTED, "pair")
    build(function, {"a": True, "b": True})
    with pytest.raises(ModelError, match="asks hp for 'both' beside these params"):
        build_model(function, None, {"a": True, "b": True}, (4,), THREE, is_whole=True)
    build_model(function, None, {"a": True, "b": False}, (4,), THREE, is_whole=True)


LONG = """
    import keras
    import keras_tuner

    def net():
        return keras.Sequential([keras.layers.Dense(3)])

    def build(hp):
        for i in range(hp.Int("num_layers", 2, 20)):
            hp.Int(f"units_{i}", 32, 512, step=32)
        if hp.Int("width", 32, 512, step=16) > 256:
            hp.Float("reg", 0.1, 0.5)
        return net()

    def either(hp):
        a, b = hp.Boolean("a"), hp.Boolean("b")
        if a or b:
            hp.Int("w", 1, 4)
        return net()

    def twice(hp):
        if hp.Choice("opt", ["adam", "sgd"]) == "adam":
            hp.Float("rate", 1e-4, 1e-2)
        else:
            hp.Float("rate", 1e-3, 1e-1)
        return net()

    def edges(hp):
        hp.Int("seed", 0, 2**31 - 1)
        hp.Int("same", 3, 3)
        hp.Float("half", 0.5, 0.5)
        return net()

    def huge(hp):
        if hp.Int("n", 1, 10**6) > 7:
            hp.Boolean("more")
        return net()

    def mirrored(hp):
        hp.Float("momentum", 0.9, 0.999, sampling="reverse_log")
        return net()
"""


def test_what_a_long_loop_asks_for_is_found(load):
    space = hp_space(load(LONG))
    assert space["units_1"]["when"] == []
    for i in range(2, 20):
        assert space[f"units_{i}"]["when"] == [{"num_layers": list(range(i + 1, 21))}]
    assert space["reg"]["when"] == [{"width": list(range(272, 513, 16))}]


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("either", "asks hp for 'w', it seemed, only where .* a=false, b=true it does"),
        ("twice", "twice declares the hyperparameter 'rate' twice with different values"),
        ("huge", "'more' beside some values of 'n' only, and there are 1,000,000: give it a larger step"),
        ("mirrored", "'momentum' has sampling='reverse_log', which is not known here"),
    ],
)
def test_what_cannot_be_a_space_is_refused_before_the_first_epoch(load, function, message):
    with pytest.raises(ModelError, match=message):
        declared(load(LONG, function))


def test_ranges_of_one_value_and_of_very_many(load):
    space = declared(load(LONG, "edges"))[1]
    assert space == {
        "seed": {"low": 0, "high": 2**31 - 1, "type": "int"},
        "same": [3],
        "half": [0.5],
    }
    assert not read_space(space)[1]


def test_a_scope_that_does_not_build_within_a_value_that_is_tried_is_no_fault_of_the_function(load):
    source = """
        import keras

        def build(hp):
            if hp.Choice("kind", ["a", "b"]) == "b":
                n = hp.Choice("n", [1, 2])
                with hp.conditional_scope("n", [2]):
                    hp.Choice("more", [1, 2])
                if n == 2:
                    raise ValueError("two is too many")
            return keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    """
    space = hp_space(load(source))
    assert space["n"]["when"] == [{"kind": ["b"]}]
    assert space["more"]["when"] == [{"n": [2]}]


def test_alternative_conditions_of_several_others_are_refused(load):
    source = """
        import keras

        def build(hp):
            for name in ("a", "b"):
                hp.Boolean(name)
                with hp.conditional_scope(name, [True]):
                    hp.Int("n", 1, 4)
            return keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    """
    with pytest.raises(ModelError, match="'n' holds under conditions of several others"):
        declared(load(source))


def test_hp_signature(load):
    signature = hp_signature(load(HYPER))
    assert signature.style == "hp"
    assert not signature.takes_any
    assert signature.names == ("depth", "units", "kind", "dropout", "classes", "unused", "noise", "rate")
    assert signature.required == ()


def test_a_script_that_exits_is_told_as_an_error_of_the_function():
    def script(n_classes):
        raise SystemExit("bye")

    with pytest.raises(ModelError, match=r"test_building\.py:\d+, .*script: SystemExit: bye"):
        build(script)
