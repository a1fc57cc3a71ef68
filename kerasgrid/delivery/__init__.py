"""From the best trial to a file of predictions: models of all training data, ensembles, submissions."""
