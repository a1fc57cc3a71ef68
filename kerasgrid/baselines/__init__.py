"""What others' searches make of a grid.yaml, for comparison."""
