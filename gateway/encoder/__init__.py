"""Photos to face boxes and unit-length embeddings, in processes of their own."""

from gateway.encoder.pool import EncoderPool
from gateway.encoder.types import Box, EncodedFace, EncodedPhoto, Quality

__all__ = ["Box", "EncodedFace", "EncodedPhoto", "EncoderPool", "Quality"]
