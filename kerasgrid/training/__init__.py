"""Training: packs of jobs as one program, plain fits, final fits; what they keep, and what they are worth.

Other rooms use: `away`, `backend`, `batches`, `candidate`, `compiling`, `entry`, `health`, `job`, `learnt`,
`loop`, `moving`, `saving`, `scoring`, `sheet`.
"""
