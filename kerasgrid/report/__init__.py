"""What a search has taught: findings with their evidence, in sentences and figures, and what to search next.

Other rooms use: `findings`, `label_scores`, `mistakes`, `residuals`, `samples`, `side_by_side`,
`suggestion`, `writing`.
"""
