"""What a worker is told, without Keras: where each parameter goes, the recipe, the objective, later tasks.

Other rooms use: `facts`, `frozen`, `objective`, `recipe`, `route`, `tasks`, `thresholds`.
"""
