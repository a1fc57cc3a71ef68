"""scikit-learn's interface: KerasClassifier, and GridSearchCV over a model function."""
