"""Training a face encoder of one's own, by the recipe of FaceNet (Schroff, Kalenichenko, Philbin, 2015).

    photos ──► faces (cut once, by the code that serves) ──► batches of P people × K photos ──► augment ──► network
                                                                                                    │
       export: ONNX + manifest + FMR curve ◄── checkpoint, once an epoch ◄── triplets + classifier ◄┘

Two kinds of modules. `recipe`, `photos`, `faces`, `batches`, `validation` and `plots` need numpy alone; the others
import torch, which is the optional extra `train`, and nothing outside this package imports those before
`torch_missing` (recipe.py) was asked. Nothing here is imported by a gateway or a shard: what training makes is a model
file, served like any other.
"""
