"""Training a face encoder of one's own, by the recipe of FaceNet (Schroff, Kalenichenko, Philbin, 2015).

    photos ──► faces (cut once, by the code that serves) ──► batches of P people × K photos ──► augment ──► network
                                                                                                    │
       export: ONNX + manifest + FMR curve ◄── checkpoint, once an epoch ◄── triplets + classifier ◄┘

Two kinds of modules. `recipe`, `photos`, `faces`, `batches`, `validation`, `history`, `plots` and `private` do without
torch; the others import it. It is the optional extra `train`, so nothing outside this package imports those before
`check_torch` (recipe.py) was asked. Nothing here is imported by a gateway or a shard: what training makes is a model
file, served like any other.
"""
