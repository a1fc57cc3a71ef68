"""What a search has taught, as one page: findings in sentences and pictures, each with its evidence."""
