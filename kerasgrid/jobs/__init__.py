"""What a worker is told, without Keras: where each parameter goes, the recipe, the objective, later tasks.

Other rooms use: `objective`, `recipe`, `route`, `tasks`.
"""
