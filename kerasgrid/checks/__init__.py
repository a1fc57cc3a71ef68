"""All that can be wrong with a search, found before its first epoch and told together.

A config's form is checked in `kerasgrid.config.reading`; here it meets the data, the model function and the
space. Nothing here imports Keras.
"""

from kerasgrid.checks.candidates import (
    augment_of,
    callbacks_of,
    decides_by_val,
    fault_of_class_weight,
    faults_of_callbacks,
    val_of,
    warnings_of_scale,
)
from kerasgrid.checks.parameters import faults_of_params
from kerasgrid.checks.prepared import SOURCE, SOURCES, Prepared, prepare

__all__ = [
    "SOURCE",
    "SOURCES",
    "Prepared",
    "augment_of",
    "callbacks_of",
    "decides_by_val",
    "fault_of_class_weight",
    "faults_of_callbacks",
    "faults_of_params",
    "prepare",
    "val_of",
    "warnings_of_scale",
]
