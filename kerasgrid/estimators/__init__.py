"""scikit-learn's interface: estimators, and searches over a model function, whose fits are trained ahead."""
