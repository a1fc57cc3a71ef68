"""The nets of dogs_cats.yaml and dirty_mnist.yaml, such as `model: image_nets.py:letters`."""

from keras import Input, Model, activations, layers


def five_convolutions(input_shape, n_classes, width=1.0, dropout=0.5, batch_norm=False, as_printed=False):
    """Returns five convolutions and two dense layers, 3 x 3 without padding, as they were printed or mended.

    Args:
        input_shape: (height, width, channels); 256 x 256 gives 100,352 features to the first dense layer.
        n_classes: Of the output.
        width: A factor of all layers' units.
        dropout: Before the first dense layer and after it.
        batch_norm: Whether each convolution is normalised, before its ReLU.
        as_printed: ReLU and dropout of 0.5 on the outputs, and a log-softmax after them: it learns nothing.
    """
    inputs = x = Input(input_shape)
    for filters, is_pooled in ((64, True), (192, True), (256, False), (384, False), (128, True)):
        x = layers.Conv2D(round(width * filters), 3, kernel_initializer="he_normal")(x)
        x = layers.BatchNormalization(momentum=0.9)(x) if batch_norm else x
        x = layers.Activation("relu")(x)
        x = layers.MaxPooling2D(2)(x) if is_pooled else x
    x = layers.Flatten()(x)
    for units in (1024, 512):
        x = layers.Dropout(dropout)(x)
        x = layers.Dense(round(width * units), activation="relu", kernel_initializer="he_normal")(x)
    x = layers.Dense(n_classes)(x)
    if as_printed:
        x = layers.Dropout(0.5)(layers.ReLU()(x))
        return Model(inputs, layers.Activation(activations.log_softmax)(x))
    return Model(inputs, layers.Softmax()(x))


def letters(input_shape, n_outputs, filters=16, depth=4, dropout=0.0):
    """Returns convolutions that ask of each letter whether it is anywhere: its greatest value decides.

    Args:
        input_shape: (height, width, channels).
        n_outputs: Letters, each a sigmoid of its own.
        filters: Of the first convolution; each later one has twice as many, to 8 times.
        depth: Convolutions, a max-pooling after each but the last.
        dropout: Of whole channels, before the output.
    """
    inputs = x = Input(input_shape)
    for place in range(depth):
        x = layers.Conv2D(filters * min(2**place, 8), 3, padding="same", use_bias=False)(x)
        x = layers.Activation("relu")(layers.BatchNormalization(momentum=0.9)(x))
        x = layers.MaxPooling2D(2)(x) if place < depth - 1 else x
    x = layers.Dropout(dropout)(layers.GlobalMaxPooling2D()(x))
    return Model(inputs, layers.Dense(n_outputs, activation="sigmoid")(x))
