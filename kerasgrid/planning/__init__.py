"""From candidates to packs: what workers are told and asked, the plan, and why models are refused.

Other rooms use: `packing`, `plan`, `refusals`, `workers`.
"""
