"""The HTTP surface: each module reads requests, calls one use case and shapes its answer; no decisions here."""
