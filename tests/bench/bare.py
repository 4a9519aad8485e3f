"""The yardstick: a bare FastAPI endpoint that reads the same body and returns a fixed answer of the same size."""

from __future__ import annotations

import sys

import uvicorn
from fastapi import FastAPI, Request, Response

app = FastAPI()
ANSWER = b"x" * int(sys.argv[2]) if len(sys.argv) > 2 else b"{}"


@app.post("/")
async def fixed(request: Request) -> Response:
    await request.body()
    return Response(ANSWER, media_type="application/json")


if __name__ == "__main__":
    uvicorn.run(app, port=int(sys.argv[1]), loop="uvloop", http="httptools", log_level="error", access_log=False)
