import pickle
import warnings
from functools import partial
from unittest import SkipTest

import numpy as np
import pytest
from sklearn import model_selection
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.datasets import load_digits
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import FitFailedWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, KFold, ParameterGrid, StratifiedKFold, cross_val_score
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import MinMaxScaler
from sklearn.utils.estimator_checks import estimator_checks_generator

import kerasgrid as kg
from kerasgrid.errors import ConfigError, DataError, ModelError, TrialError
from kerasgrid.estimators.alone import _json_params
from kerasgrid.estimators.classifier import KerasClassifier, read_labels

NAMES = np.array([f"digit {number}" for number in range(10)])


def build(input_shape, n_classes, units=8, activation="relu"):
    """A net of one hidden layer, for pixels from 0 to 16."""
    import keras

    if units == 13:
        raise ValueError("13 units are bad luck")
    return keras.Sequential(
        [
            keras.Input(input_shape),
            keras.layers.Rescaling(1 / 16),
            keras.layers.Flatten(),
            keras.layers.Dense(units, activation=activation),
            keras.layers.Dense(n_classes, activation="softmax"),
        ]
    )


def normalized(input_shape, n_classes):
    import keras

    layers = [keras.layers.BatchNormalization(), keras.layers.Dense(n_classes, activation="softmax")]
    return keras.Sequential([keras.Input(input_shape), *layers])


def never(input_shape, n_classes, units=8, activation="relu"):
    raise AssertionError("a model is built before the parameters are checked")


@pytest.fixture(scope="module")
def digits():
    """120 rows of 64 pixels, and their labels."""
    X, y = load_digits(return_X_y=True)
    return X[:120], y[:120]


FC = {"model": "fc", "units": (8,), "batch_norm": False, "optimizer": "SGD", "epochs": 2, "seed": 3}


@pytest.fixture(scope="module")
def plain(digits, eager):
    """The losses of FC by itself."""
    return KerasClassifier(**FC).fit(digits[0].reshape(-1, 8, 8, 1), digits[1]).history_["loss"]


class TestKerasClassifier:
    """What needs no training, or little."""

    def test_its_parameters_are_those_of_the_grid(self):
        params = {"units": 4, "optimizer.momentum": 0.9, "callbacks.early_stopping.patience": 3}
        classifier = KerasClassifier(build, seed=7, epochs=2).set_params(**params)
        assert classifier.get_params() == {"model": build, "seed": 7, "epochs": 2, **params}

    def test_a_clone_loses_nothing_and_shares_nothing(self):
        units = [4, 8]
        first = KerasClassifier(build, seed=7, epochs=20, units=units)
        second = clone(first)
        assert second.get_params() == first.get_params()
        assert second.params["units"] is not units
        second.set_params(epochs=1, model="fc", seed=0)
        assert first.get_params() == {"model": build, "seed": 7, "epochs": 20, "units": units}

    def test_its_repr_names_what_differs_from_the_defaults(self):
        assert repr(KerasClassifier("fc", epochs=3)) == "KerasClassifier(epochs=3, model='fc')"

    def test_it_is_a_classifier_that_is_not_fitted(self, digits):
        classifier = KerasClassifier(build)
        assert is_classifier(classifier)
        with pytest.raises(ValueError, match="not fitted yet"):
            classifier.predict(digits[0])
        assert not hasattr(classifier, "classes_")

    @pytest.mark.slow
    def test_it_augments_and_normalises_and_is_pickled_with_that(self, digits, plain, tmp_path):
        import keras

        X, y = digits[0].reshape(-1, 8, 8, 1), digits[1]
        given = {"augment.rotation_range": 30, "augment.featurewise_std_normalization": True}
        augmented = KerasClassifier(**FC, **given).fit(X, y)
        again = KerasClassifier(**FC, **given).fit(X, y)
        assert augmented.history_["loss"] == again.history_["loss"] != plain
        augmented.model_.save(tmp_path / "a.keras")
        found = keras.models.load_model(tmp_path / "a.keras")
        np.testing.assert_array_equal(found.predict(X, verbose=0), augmented.predict_proba(X))
        optimizers = zip(found.optimizer.variables, augmented.model_.optimizer.variables, strict=True)
        assert all(np.array_equal(one, other) for one, other in optimizers)
        assert int(found.optimizer.iterations) == 8
        found.fit(X, y, verbose=0)
        np.testing.assert_array_equal(
            pickle.loads(pickle.dumps(augmented)).predict_proba(X), augmented.predict_proba(X)
        )
        with pytest.raises(ConfigError, match="augment: is for images, and each sample has the shape"):
            KerasClassifier(**FC, **given).fit(X.reshape(len(X), -1), y)

    @pytest.mark.slow
    def test_mixed_samples_count_by_their_classes(self, digits):
        X, y = digits[0].reshape(-1, 8, 8, 1), digits[1]
        mixed = {**FC, "augment.mixup_alpha": 0.2}
        little = dict.fromkeys(range(10), 1e-6)
        found = [KerasClassifier(**mixed, class_weight=given).fit(X, y) for given in ("balanced", little)]
        balanced, hardly = (one.history_["loss"] for one in found)
        assert min(balanced) > 0.1
        assert max(hardly) < 1e-3

    @pytest.mark.slow
    def test_pixels_that_nothing_scales_are_told(self, digits):
        X, y = digits[0].reshape(-1, 8, 8, 1), digits[1]
        short = FC | {"epochs": 1}
        with pytest.warns(
            UserWarning, match="X holds pixels of 0 to 16, which reach the net as they are"
        ) as told:
            KerasClassifier(**short).fit(X, y)
        assert __file__ in {one.filename for one in told}
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)
            fitted = KerasClassifier(**short, **{"augment.rescale": 1 / 16}).fit(X, y)
            fitted.predict(X[:3])
        with pytest.warns(
            UserWarning, match="X: values are 0 to 1, and those trained on are 0 to 16 as stored"
        ):
            fitted.predict(X / 16)

    @pytest.mark.slow
    def test_debiased_statistics_of_one_step_are_those_of_its_rows(self, digits, tmp_path):
        """They are what it predicts by, has and saves, also with weights that a callback has put back."""
        import keras

        X, y = digits

        def fitted(statistics, **more):
            given = {"batch_size": 120, "epochs": 1, "training.batch_norm": statistics, **more}
            return KerasClassifier(normalized, seed=3, **given).fit(X, y)

        def statistics_of(model):
            return [np.asarray(part) for part in model.layers[0].get_weights()[2:]]

        raw, debiased = fitted("keras"), fitted("debiased")
        assert raw.first_values_ == debiased.first_values_ == pytest.approx(0.99)
        mean, variance = X.mean(axis=0), X.var(axis=0)
        for found, wanted in zip(
            statistics_of(raw.model_), (0.01 * mean, 0.99 + 0.01 * variance), strict=True
        ):
            np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-6)
        for found, wanted in zip(statistics_of(debiased.model_), (mean, variance), strict=True):
            np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-3)
        debiased.model_.save(tmp_path / "a.keras")
        loaded = keras.models.load_model(tmp_path / "a.keras")
        np.testing.assert_array_equal(loaded.predict(X, verbose=0), debiased.predict_proba(X))
        again = pickle.loads(pickle.dumps(debiased))
        np.testing.assert_array_equal(again.predict_proba(X), debiased.predict_proba(X))
        stopped = {
            "callbacks.early_stopping.monitor": "val_loss",
            "callbacks.early_stopping.restore_best_weights": True,
            "callbacks.early_stopping.min_delta": 1e9,  # the first epoch is the best
            "callbacks.early_stopping.patience": 2,
            "epochs": 5,
        }
        ended = fitted("debiased", **stopped)
        assert (len(ended.history_["loss"]), ended.first_values_) == (3, pytest.approx(0.99))
        assert statistics_of(ended.model_)[1].min() >= 0
        assert KerasClassifier(**{**FC, "epochs": 1}).fit(X.reshape(-1, 8, 8, 1), y).first_values_ is None

    @pytest.mark.slow
    def test_it_takes_the_recipe_of_a_grid_yaml(self, digits, plain):
        X, y = digits[0].reshape(-1, 8, 8, 1), digits[1]
        recipe = {
            "callbacks.learning_rate_scheduler.schedule": "one_cycle",
            "training.class_weight": {0: 5.0},
            "loss.label_smoothing": 0.1,
        }
        found = KerasClassifier(**FC, **recipe).fit(X, y)
        assert found.history_["loss"] != plain
        assert found.dead_ is None
        still = {"learning_rate": 1e-9, "dropout": 0.0, "epochs": 3, "batch_size": len(X)}
        dead = KerasClassifier(**FC | still).fit(X, y)
        assert dead.dead_ == "loss at chance level, 2.297 or more, for 3 epochs"

    @pytest.mark.slow
    @pytest.mark.parametrize(
        ("params", "message"),
        [
            (
                {"training.class_weight": {"cat": 2.0}},
                "KerasClassifier, training.class_weight: names 'cat', which is no class of these data. "
                "Known: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9.",
            ),
            (
                {
                    "callbacks.learning_rate_scheduler.schedule": "cosine",
                    "callbacks.reduce_lr_on_plateau.monitor": "loss",
                },
                "KerasClassifier, callbacks.learning_rate_scheduler: and reduce_lr_on_plateau both set the "
                "learning rate: keep one.",
            ),
            (
                {"unist": 8},
                "KerasClassifier, params.unist: unknown parameter. Did you mean 'units'? Known: activation, "
                "batch_size, epochs, learning_rate, loss, optimizer, units.",
            ),
            (
                {"epochs": 0},
                "KerasClassifier, params.epochs: is 0; a whole number of at least 1 holds.",
            ),
            (
                {"seed": -1},
                "KerasClassifier, seed: is -1; a whole number from 0 to 2**32 - 1 holds.",
            ),
            (
                {"stages": [{"trainable": "head", "epochs": 1}]},
                "KerasClassifier, params.stages: are of kg.search and grid.yaml; an estimator trains all at "
                "once.",
            ),
        ],
    )
    def test_faults_are_told_by_fit_before_a_model_is_built(self, digits, params, message):
        with pytest.raises(ConfigError) as raised:
            KerasClassifier(never, **params).fit(*digits)
        assert str(raised.value) == message

    def test_a_parameter_named_model_is_refused(self, digits):
        with pytest.raises(ModelError, match=r"has a parameter 'model'.*give the parameter another name"):
            KerasClassifier(lambda input_shape, n_classes, model="small": None).fit(*digits)

    def test_a_model_in_the_place_of_a_function_is_refused(self, digits):
        class Sequential:
            def count_params(self):
                return 0

        with pytest.raises(ModelError, match="is a Sequential; give the function that builds and returns it"):
            KerasClassifier(Sequential()).fit(*digits)

    @pytest.mark.parametrize(
        ("y", "indices", "classes"),
        [
            ([3, 7, 3], [0, 1, 0], [3, 7]),
            (["b", "a", "b"], [1, 0, 1], ["a", "b"]),
            ([True, False, True], [1, 0, 1], [False, True]),
            ([[0, 1, 0], [1, 0, 0], [0, 1, 0]], [1, 0, 1], [0, 1, 2]),
            ([[0.0, 1.0], [1.0, 0.0], [0.0, 1.0]], [1, 0, 1], [0, 1]),
        ],
    )
    def test_labels_become_indices(self, y, indices, classes):
        found, found_classes = read_labels(np.array(y))
        assert found.tolist() == indices
        assert found_classes.tolist() == classes

    @pytest.mark.parametrize(
        ("y", "message"),
        [
            (
                [0.5, 1.5, 2.5],
                "Unknown label type: y is what scikit-learn calls 'continuous'; ",
            ),
            (
                [[0.3, 0.7], [0.7, 0.3]],
                "Unknown label type: y is what scikit-learn calls 'continuous-multioutput'; ",
            ),
            ([[1, 0, 0], [0, 1, 1]], "y, row 1: 2 classes are set; one-hot rows set exactly one."),
            ([[1, 0, 0], [0, 0, 0]], "y, row 1: 0 classes are set; one-hot rows set exactly one."),
            ([4, 4, 4], "y holds one class only, 4: a classifier needs two or more."),
        ],
    )
    def test_what_is_no_labels_is_refused(self, y, message):
        with pytest.raises(DataError) as raised:
            read_labels(np.array(y))
        assert str(raised.value).startswith(message)

    def test_random_keys_come_from_values_and_not_from_their_types(self):
        class Initializer:
            pass

        params = {"a": np.int64(1), "b": (1, 2), "c": np.array([1.0]), "d": Initializer(), "e": float("nan")}
        name = Initializer.__qualname__
        assert _json_params(params) == {"a": 1, "b": [1, 2], "c": [1.0], "d": name, "e": None}


class TestParameters:
    """kg.GridSearchCV before anything is trained."""

    def test_a_clone_keeps_the_function_and_the_seed(self):
        grid = kg.GridSearchCV(build, {"units": [4]}, cv=2, seed=5)
        copy = clone(grid)
        assert copy.get_params() == grid.get_params()
        assert copy.get_params()["estimator"] is build
        assert copy.estimator.get_params() == {"model": build, "seed": 5}

    def test_its_parameters_can_be_set(self):
        grid = kg.GridSearchCV(build, {"units": [4]}).set_params(seed=3, estimator="fc", cv=4)
        assert (grid.estimator.get_params(), grid.cv) == ({"model": "fc", "seed": 3}, 4)

    def test_an_estimator_brings_its_own_seed_and_parameters(self):
        classifier = KerasClassifier(build, seed=9, epochs=3)
        grid = kg.GridSearchCV(classifier, {"units": [4]}, seed=1)
        assert grid.estimator is classifier
        assert grid.set_params(estimator__epochs=5).get_params()["estimator__epochs"] == 5

    def test_its_arguments_are_those_of_scikit_learn_a_seed_and_a_name(self):
        theirs = model_selection.GridSearchCV(LogisticRegression(), {"C": [1]}).get_params(deep=False)
        ours = kg.GridSearchCV(LogisticRegression(), {"C": [1]}).get_params(deep=False)
        assert list(ours) == sorted([*theirs, "name", "seed"])
        assert {name: repr(ours[name]) for name in theirs} == {name: repr(theirs[name]) for name in theirs}

    def test_it_is_the_classifier_that_it_searches(self):
        grid = kg.GridSearchCV(build, {})
        assert is_classifier(grid)
        assert hasattr(grid, "predict_proba")
        assert not hasattr(grid, "decision_function")

    @pytest.mark.parametrize(
        ("grid", "message"),
        [
            (
                {"unist": [8]},
                "GridSearchCV, param_grid.unist: unknown parameter. Did you mean 'units'? Known: activation, "
                "batch_size, epochs, learning_rate, loss, optimizer, units.",
            ),
            (
                {"epochs": np.array([0, 5]), "learning_rate": [0.1, -1]},
                "GridSearchCV, param_grid.epochs: is 0; a whole number of at least 1 holds.\n"
                "GridSearchCV, param_grid.learning_rate: is -1; a number above 0 holds.",
            ),
            (
                [{"units": [4]}, {"loss.gamma": [0.1]}],
                "GridSearchCV, param_grid[1].loss.gamma: needs `loss` to be given too, in params or space.",
            ),
            (
                {"seed": [0, 0.5]},
                "GridSearchCV, param_grid.seed: is 0.5; a whole number from 0 to 2**32 - 1 holds.",
            ),
            (
                [{"stages": [[{"trainable": "head", "epochs": 1}]]}, {"stages.1.epochs": [1]}],
                "GridSearchCV, param_grid[0].stages: are of kg.search and grid.yaml; an estimator trains all "
                "at once.\n"
                "GridSearchCV, param_grid[1].stages.1.epochs: are of kg.search and grid.yaml; an estimator "
                "trains all at once.",
            ),
        ],
    )
    def test_faults_are_told_together_before_a_model_is_built(self, digits, grid, message):
        with pytest.raises(ConfigError) as raised:
            kg.GridSearchCV(never, grid).fit(*digits)
        assert str(raised.value) == message

    def test_arguments_of_fit_that_would_be_lost_are_refused(self, digits):
        with pytest.raises(ConfigError, match=r"GridSearchCV, .*epoch: .*Did you mean 'epochs'"):
            kg.GridSearchCV(never, {"units": [4]}).fit(*digits, epoch=3)

    def test_what_cannot_be_searched_is_refused_as_by_scikit_learn(self, digits):
        with pytest.raises(ValueError, match="The 'estimator' parameter of GridSearchCV must be"):
            kg.GridSearchCV(5, {}).fit(*digits)
        with pytest.raises(ValueError, match="The 'seed' parameter of GridSearchCV must be"):
            kg.GridSearchCV(LogisticRegression(), {}, seed=-1).fit(*digits)
        with pytest.raises(TypeError, match="Parameter grid for parameter 'units'"):
            kg.GridSearchCV(never, {"units": 4}).fit(*digits)


def without_times(results):
    """Returns cv_results_ with plain lists, less the seconds."""
    return {name: np.ma.getdata(values).tolist() if isinstance(values, np.ndarray) else values
            for name, values in results.items() if "time" not in name}  # fmt: skip


class TestScikitLearnsPath:
    """Estimators of scikit-learn give what scikit-learn's own GridSearchCV gives."""

    @pytest.mark.parametrize(
        ("estimator", "grid", "options"),
        [
            (LogisticRegression(max_iter=30), {"C": [0.1, 1.0]}, {"cv": 3, "return_train_score": True}),
            (
                LogisticRegression(max_iter=30),
                [{"C": [1.0]}, {"C": [0.1], "solver": ["newton-cg"]}],
                {"scoring": ["accuracy", "neg_log_loss"], "refit": "neg_log_loss", "cv": KFold(2)},
            ),
            (
                RandomForestClassifier(5, random_state=0),
                {"max_depth": [2, 4]},
                {"refit": lambda results: 0, "cv": 2},
            ),
            (
                Pipeline([("scale", MinMaxScaler()), ("model", LogisticRegression(max_iter=30))]),
                {"model__C": [1.0, -1.0]},
                {"error_score": 0.5, "cv": 2, "refit": False},
            ),
        ],
        ids=["logistic", "multimetric", "forest", "pipeline"],
    )
    @pytest.mark.filterwarnings("ignore")
    def test_same_results(self, digits, estimator, grid, options):
        theirs = model_selection.GridSearchCV(estimator, grid, **options).fit(*digits)
        ours = kg.GridSearchCV(estimator, grid, **options).fit(*digits)
        assert list(ours.cv_results_) == list(theirs.cv_results_)
        assert without_times(ours.cv_results_) == without_times(theirs.cv_results_)
        for name in ("best_index_", "best_params_", "best_score_", "n_splits_", "multimetric_"):
            assert getattr(ours, name, None) == getattr(theirs, name, None)
        if options.get("refit", True):
            assert np.array_equal(ours.predict(digits[0]), theirs.predict(digits[0]))

    def test_groups(self, digits):
        groups = np.arange(120) // 10
        options = {"cv": GroupKFold(3), "refit": False}
        theirs = model_selection.GridSearchCV(LogisticRegression(max_iter=30), {"C": [1.0]}, **options)
        ours = kg.GridSearchCV(LogisticRegression(max_iter=30), {"C": [1.0]}, **options)
        theirs.fit(*digits, groups=groups)
        ours.fit(*digits, groups=groups)
        assert without_times(ours.cv_results_) == without_times(theirs.cv_results_)


GRID = {"units": [8, 4], "epochs": np.array([2]), "optimizer": ["SGD"]}


@pytest.fixture(scope="module")
def data(digits):
    X, y = digits
    return X.reshape(-1, 8, 8, 1).astype(np.uint8), NAMES[y]


@pytest.fixture(scope="module")
def grid(data, eager):
    grid = kg.GridSearchCV(
        build,
        GRID,
        cv=2,
        scoring=["accuracy", "neg_log_loss"],
        refit="neg_log_loss",
        return_train_score=True,
    )
    return grid.fit(*data)


@pytest.mark.slow
@pytest.mark.usefixtures("eager")
class TestModelFunction:
    """A search over a model function on images with four axes and names for labels."""

    def test_candidates_and_columns_are_scikit_learns(self, grid, data):
        X, y = data[0].reshape(len(data[0]), -1), data[1]
        theirs = model_selection.GridSearchCV(
            LogisticRegression(max_iter=5),
            {"C": [1, 2], "max_iter": [5], "tol": [1.0]},
            cv=2,
            scoring=["accuracy", "neg_log_loss"],
            refit="neg_log_loss",
            return_train_score=True,
        ).fit(X, y)
        renamed = {
            "param_C": "param_epochs",
            "param_max_iter": "param_optimizer",
            "param_tol": "param_units",
        }
        assert list(grid.cv_results_) == [renamed.get(name, name) for name in theirs.cv_results_]
        assert grid.cv_results_["params"] == list(ParameterGrid(GRID))
        assert grid.cv_results_["param_units"].tolist() == [8, 4]
        assert set(vars(theirs)) - {"estimator"} == set(vars(grid)) - {
            *("_given", "_predicts_numbers", "name", "seed")
        }

    def test_the_best_is_picked_by_refit(self, grid):
        scores = grid.cv_results_["mean_test_neg_log_loss"]
        assert grid.best_index_ == int(np.argmax(scores))
        assert grid.best_score_ == scores.max()
        assert grid.best_params_ == grid.cv_results_["params"][grid.best_index_]

    def test_scores_are_those_of_the_estimator_alone(self, grid, data):
        params = {"units": 4, "epochs": 2, "optimizer": "SGD"}
        splits = StratifiedKFold(2)
        by_hand = cross_val_score(KerasClassifier(build, **params), *data, cv=splits, scoring="neg_log_loss")
        found = [grid.cv_results_[f"split{split}_test_neg_log_loss"][1] for split in range(2)]
        assert by_hand.tolist() == pytest.approx(found, rel=1e-5)

    def test_the_epochs_of_the_grid_are_trained(self, grid):
        assert {name: len(values) for name, values in grid.best_estimator_.history_.items()} == {
            "accuracy": 2,
            "loss": 2,
        }

    def test_a_short_run_is_the_beginning_of_a_long_one_and_leaves_numpys_numbers_alone(self, grid, data):
        """That of another seed is not."""
        long, state = grid.best_estimator_.history_["loss"], np.random.get_state()

        def short(seed):
            params = {**grid.best_params_, "epochs": 1}
            return KerasClassifier(build, seed=seed, **params).fit(*data).history_["loss"]

        assert short(0) == long[:1] != short(1)
        assert np.array_equal(np.random.get_state()[1], state[1])

    def test_the_best_estimator_predicts(self, grid, data):
        X, y = data
        probabilities = grid.predict_proba(X)
        assert probabilities.shape == (120, 10)
        assert np.allclose(probabilities.sum(axis=1), 1, atol=1e-5)
        assert grid.classes_.tolist() == NAMES.tolist()
        assert np.array_equal(grid.predict(X), NAMES[probabilities.argmax(axis=1)])
        assert grid.best_estimator_.score(X, y) == np.mean(grid.predict(X) == y)
        assert grid.score(X, y) < 0
        assert grid.n_features_in_ == 8
        assert grid.best_estimator_.model_.count_params() in {8 * 65 + 90, 4 * 65 + 50}

    def test_a_pickle_gives_the_same_predictions(self, grid, data):
        copy = pickle.loads(pickle.dumps(grid))
        assert np.array_equal(copy.predict_proba(data[0]), grid.predict_proba(data[0]))
        assert copy.get_params()["estimator"] is build
        assert without_times(copy.cv_results_)["params"] == without_times(grid.cv_results_)["params"]

    def test_it_outlives_a_cleared_session(self, grid, data):
        import keras

        before = grid.predict_proba(data[0])
        keras.backend.clear_session()
        assert np.array_equal(grid.predict_proba(data[0]), before)

    def test_other_axes_are_refused(self, grid, data):
        with pytest.raises(DataError, match=r"X is \(120, 8, 4, 2\), but .* samples of \(8, 8, 1\)"):
            grid.predict(data[0].reshape(-1, 8, 4, 2))


ONE = {"epochs": [1], "optimizer": ["SGD"]}


@pytest.mark.slow
@pytest.mark.usefixtures("eager")
class TestTraining:
    """One fit or two each."""

    def test_one_hot_labels_get_plain_folds_and_come_back_as_one_hot(self, digits):
        X, y = digits[0], np.eye(10, dtype=np.int32)[digits[1]]
        params = {"epochs": [4], "learning_rate": [0.02], "optimizer": ["SGD"]}
        grid = kg.GridSearchCV(build, params, cv=2, refit=False).fit(X, y)
        train, test = next(KFold(2).split(X))
        alone = KerasClassifier(build, epochs=4, learning_rate=0.02, optimizer="SGD").fit(X[train], y[train])
        predicted = alone.predict(X[test])
        assert (predicted.shape, predicted.dtype) == ((60, 10), np.int32)
        assert predicted.sum(axis=1).tolist() == [1] * 60
        correct = np.mean(predicted.argmax(axis=1) == digits[1][test])
        assert grid.cv_results_["split0_test_score"].tolist() == [correct]
        assert 0 < correct < 1

    def test_a_fit_that_fails_gets_the_error_score(self, digits):
        split = [(np.arange(80), np.arange(80, 120))]
        options = {"cv": split, "refit": False}
        grid = kg.GridSearchCV(build, {"units": [13, 4], **ONE}, error_score=-1, **options)
        with pytest.warns(FitFailedWarning, match="13 units are bad luck"):
            grid.fit(*digits)
        assert grid.cv_results_["mean_test_score"][0] == -1
        assert grid.cv_results_["mean_test_score"][1] >= 0
        assert grid.cv_results_["rank_test_score"].tolist() == [2, 1]
        assert not hasattr(grid, "best_estimator_")
        with pytest.raises(ModelError, match="build: ValueError: 13 units are bad luck"):
            grid.set_params(error_score="raise").fit(*digits)

    def test_in_a_pipeline_and_over_a_pipeline(self, digits):
        X, y = digits
        split = [(np.arange(80), np.arange(80, 120))]
        within = Pipeline(
            [("scale", MinMaxScaler((0, 16))), ("grid", kg.GridSearchCV(build, ONE, cv=split))]
        ).fit(X, y)
        steps = [("scale", MinMaxScaler((0, 16))), ("net", KerasClassifier(build, epochs=1))]
        over = kg.GridSearchCV(Pipeline(steps), {"net__optimizer.beta_1": [0.9]}, cv=split).fit(X, y)
        assert within.predict(X).shape == (120,)
        assert within.classes_.tolist() == list(range(10))
        assert over.best_params_ == {"net__optimizer.beta_1": 0.9}
        assert within["grid"].best_estimator_.get_params() == {
            "model": build,
            "seed": 0,
            "epochs": 1,
            "optimizer": "SGD",
        }
        assert over.predict_proba(X).shape == (120, 10)

    def test_a_monitored_val_gets_an_inner_split(self, digits):
        params = {"callbacks.early_stopping.monitor": "val_loss", "epochs": 2, "optimizer": "SGD"}
        history = KerasClassifier(build, **params).fit(*digits).history_
        assert sorted(history) == ["accuracy", "loss", "val_accuracy", "val_loss"]

    def test_a_loss_that_is_nan_is_an_error(self, digits):
        params = {"optimizer": "SGD", "learning_rate": 1e38, "activation": "linear"}
        with pytest.raises(TrialError, match=r"^fit, epoch 1: loss is nan\.$"):
            KerasClassifier(build, **params).fit(*digits)

    def test_a_monitor_that_is_not_measured_is_an_error(self, digits):
        with pytest.raises(
            TrialError, match=r"^fit: EarlyStopping monitors 'f1', which is not measured\. Known: "
        ):
            KerasClassifier(build, **{"callbacks.early_stopping.monitor": "f1"}).fit(*digits)

    def test_truth_values_and_a_single_output_that_its_function_compiled(self, digits):
        def build_compiled(input_shape, learning_rate=0.1):
            import keras

            model = keras.Sequential([keras.Input(input_shape), keras.layers.Dense(1)])
            loss = keras.losses.BinaryCrossentropy(from_logits=True)
            model.compile(keras.optimizers.Adam(learning_rate), loss)
            return model

        X, y = digits[0] / 16, digits[1] == 0
        classifier = KerasClassifier(build_compiled, epochs=5, learning_rate=0.05).fit(X, y)
        assert classifier.predict(X).dtype == bool
        assert classifier.predict_proba(X).shape == (120, 2)
        assert classifier.score(X, y) > 0.95

    def test_hyperparameters_of_keras_tuner(self, digits):
        def build_hp(hp):
            return build((64,), 10, units=hp.Choice("units", [4, 8]))

        split = [(np.arange(80), np.arange(80, 120))]
        grid = kg.GridSearchCV(build_hp, {"units": [4, 8], **ONE}, cv=split, refit=False).fit(*digits)
        assert grid.cv_results_["param_units"].tolist() == [4, 8]
        with pytest.raises(ConfigError, match=r"param_grid\.width: unknown parameter.*Known: .*units"):
            kg.GridSearchCV(build_hp, {"width": [4]}).fit(*digits)

    def test_no_fit_leaves_its_graphs_or_its_data_behind(self, digits):
        import gc

        from tensorflow.python.framework import ops

        from kerasgrid.training.batches import Batches

        def held() -> list[Batches]:
            gc.collect(2)
            return [found for found in gc.get_objects() if isinstance(found, Batches) and found.images.size]

        others = held()  # tests that give Batches to a plain fit leave theirs
        before = set(ops.gradient_registry.list())
        KerasClassifier(build, epochs=1).fit(*digits).predict(digits[0])
        assert {name for name in set(ops.gradient_registry.list()) - before if "Custom" in name} == set()
        assert [found for found in held() if not any(found is other for other in others)] == []


@pytest.mark.parametrize(
    ("scoring", "labels", "message"),
    [
        (
            "f1",
            ["no", "yes"],
            "'no' and 'yes': say which it is, such as make_scorer(f1_score, pos_label='yes').",
        ),
        (["accuracy", "f1"], [10, 20, 500], "which cannot score 3 classes: "),
        ({"error": "r2"}, ["no", "yes"], "which cannot score 2 classes: "),
    ],
)
def test_what_cannot_score_these_labels_is_told_before_anything_is_trained(scoring, labels, message):
    y = np.array(labels)[np.arange(30) % len(labels)]
    with pytest.raises(ConfigError) as told:
        kg.GridSearchCV(never, {"units": [8]}, scoring=scoring, refit=False).fit(np.zeros((30, 4)), y)
    assert "GridSearchCV, scoring: is '" in str(told.value)
    assert message in str(told.value)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "scoring", "y", "is_of_numbers"),
    [
        ("mlp", "r2", [3.0, 7, 9], True),
        ("mlp", {"error": "neg_mean_absolute_error"}, [*range(20, 50)], True),
        pytest.param(
            *("mlp", {"error": "neg_mean_absolute_error"}, [3, 7, 9], False),
            marks=pytest.mark.filterwarnings("ignore:GridSearchCV. y holds 3 whole numbers"),
        ),
        ("mlp", ["accuracy", "r2"], [3, 7, 9], False),
        ("mlp", None, [3, 7, 9], False),
        ("mlp", None, [0.5, 7, 9], True),
        (never, "r2", [3, 7, 9], False),
    ],
)
def test_whole_numbers_are_predicted_where_scoring_and_model_are_of_numbers(model, scoring, y, is_of_numbers):
    grid = kg.GridSearchCV(model, {"unknown": [8]}, scoring=scoring, refit=False)
    with pytest.raises(ConfigError):
        grid.fit(np.zeros((30, 4)), np.resize(y, 30))
    assert is_regressor(grid.estimator) is is_of_numbers


def linear(input_shape, n_classes):
    """A net whose fit takes milliseconds, and which has learnt after a step."""
    import keras

    last = keras.layers.Dense(n_classes, activation="softmax")
    model = keras.Sequential([keras.Input(input_shape), keras.layers.Flatten(), last])
    model.compile(keras.optimizers.SGD(8.0), "sparse_categorical_crossentropy", run_eagerly=True)
    return model


LEFT_OUT = {
    "check_estimator_sparse_matrix",  # says what check_estimator_sparse_array does
    "check_methods_subset_invariance",  # likewise check_methods_sample_order_invariance
}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_scikit_learns_own_checks_hold_but_for_free_parameters_and_batches(monkeypatch):
    """Of those that are there in several forms, the last one: of arrays that cannot be written to."""
    monkeypatch.setattr("gc.collect", lambda *generation: 0)  # a third of a second for each of a hundred fits
    estimator = KerasClassifier(linear, epochs=1, batch_size=1024)
    checks = {
        check.func.__name__: partial(check, own) for own, check in estimator_checks_generator(estimator)
    }
    told, passed = {}, set()
    for name in checks.keys() - LEFT_OUT:
        try:
            checks[name]()
            passed.add(name)
        except SkipTest:
            continue
        except Exception as error:
            told[name] = str(error)
    weighed = {f"check_sample_weight_equivalence_on_{kind}_data" for kind in ("dense", "sparse")}
    assert told.keys() == {"check_no_attributes_set_in_init", *weighed}
    assert "Found attributes ['params']" in told["check_no_attributes_set_in_init"]
    assert len(passed) > 35
