"""Training: packs of jobs as one program, plain fits, final fits; what they keep, and what they are worth.

Other rooms use: `batches`, `candidate`, `entry`, `health`, `loop`, `moving`, `saving`, `sheet`.
"""
