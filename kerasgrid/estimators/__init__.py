"""scikit-learn's interface: KerasClassifier, KerasRegressor, and GridSearchCV over a model function."""
