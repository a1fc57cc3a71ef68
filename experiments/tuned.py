"""A KerasTuner program as its guides write them: nothing in it knows of kerasgrid."""

import keras
import keras_tuner


def build(hp):
    """Returns a compiled model."""
    model = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten()])
    for i in range(hp.Int("layers", 1, 3)):
        model.add(keras.layers.Dense(hp.Int(f"units_{i}", 32, 128, step=32), activation="relu"))
    if hp.Boolean("dropout"):
        model.add(keras.layers.Dropout(hp.Float("rate", 0.1, 0.5, step=0.1)))
    model.add(keras.layers.Dense(10, activation="softmax"))
    kind = hp.Choice("optimizer", ["adam", "sgd"])
    if kind == "adam":
        with hp.conditional_scope("optimizer", ["adam"]):
            rate = hp.Float("adam_rate", 1e-4, 1e-2, sampling="log")
            optimizer = keras.optimizers.Adam(rate)
    else:
        with hp.conditional_scope("optimizer", ["sgd"]):
            momentum = hp.Choice("momentum", [0.0, 0.9])
            optimizer = keras.optimizers.SGD(0.1, momentum=momentum)
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


class Tuned(keras_tuner.HyperModel):
    """The same as a HyperModel."""

    def build(self, hp):
        """Returns a compiled model."""
        return build(hp)
