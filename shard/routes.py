"""What a replica answers: searches and waits to gateways (MessagePack), its state to people and supervisors (JSON)."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from typing import Any

from fastapi import APIRouter, Request, Response
from starlette.requests import ClientDisconnect
from starlette.types import Receive

from common import wire
from common.direct import PlainRoute
from common.errors import MalformedBody, Unavailable, UnsupportedMediaType
from common.types import ReplicaState
from shard.replica import Replica
from shard.searcher import MAX_WAIT_MS

router = APIRouter()
calls = APIRouter(route_class=PlainRoute)
"""from gateways"""


def _replica(request: Request) -> Replica:
    replica: Replica = request.app.state.replica
    return replica


async def _body(request: Request) -> bytes:
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type != wire.CONTENT_TYPE:
        raise UnsupportedMediaType(f"This needs {wire.CONTENT_TYPE}.", field="content-type", limit=wire.CONTENT_TYPE)
    try:
        return await request.body()
    except ClientDisconnect:
        raise MalformedBody("The caller hung up before its body was complete.", field="body") from None


def _answer(packed: bytes) -> Response:
    return Response(packed, media_type=wire.CONTENT_TYPE)


def _hung_up(receive: Receive) -> bool:
    """Whether the server knows by now that the caller has gone. Its body was read, so only that could come next.

    One step of `receive`, and no waiting: Starlette's `is_disconnected` costs 60 microseconds.
    """
    step = receive().__await__()
    try:
        next(step)
    except StopIteration as message:
        return bool(message.value["type"] == "http.disconnect")
    step.close()
    return False


@calls.post("/search")
async def search(request: Request) -> Response:
    """wire.SearchCall → a wire.QueryReply for each query."""
    call = wire.unpack_call(await _body(request))
    replies = await _replica(request).searcher.search(call, partial(_hung_up, request.receive))
    return _answer(wire.pack_reply(replies, call))


@calls.post("/await")
async def await_version(request: Request) -> Response:
    """wire.AwaitCall → the version applied, once it is the one awaited or a later one, or when the time is over."""
    call = wire.unpack_await(await _body(request))
    replica = _replica(request)
    if replica.version(call.store, call.incarnation) < call.version and call.remaining_ms > 0:
        await replica.waiters.wait(call.store, call.version, min(call.remaining_ms, MAX_WAIT_MS) / 1000)
    return _answer(wire.pack_version(replica.version(call.store, call.incarnation)))


@router.get("/healthz")
async def healthz() -> dict[str, str]:
    return {"status": "ok"}


@router.get("/readyz")
async def readyz(request: Request) -> dict[str, str]:
    """503 while stores that the map named at the start are still being loaded, and once it was asked to end."""
    follower = _replica(request).follower
    match _replica(request).state:
        case ReplicaState.READY:
            return {"status": "ready"}
        case ReplicaState.LOADING if follower.missing is None:
            raise Unavailable("The map could not be read yet.")
        case ReplicaState.LOADING:
            raise Unavailable(f"{len(follower.missing or ())} stores are being loaded.")
        case ReplicaState.DRAINING:
            raise Unavailable("The replica is being stopped.")


@router.get("/status")
async def status(request: Request, *, digest: bool = False) -> dict[str, Any]:
    """For people: what is served and how far. Nothing of the faces. With `digest` also a sum over each store's faces
    and rows, which replicas at the same version must have in common; it takes seconds a million faces."""
    replica = _replica(request)
    stores: dict[str, dict[str, Any]] = {
        store: {"version": view.version, "rows": view.rows} for store, view in sorted(replica.stores.items())
    }
    if digest:
        stores = {
            store: {**view._asdict(), "digest": sums} for store, (view, sums) in (await replica.digests()).items()
        }
    return {
        "shard": replica.settings.shard,
        "replica": replica.settings.replica,
        "boot": replica.boot,
        "state": replica.state,
        "truth": "ok" if replica.follower.truth_answers else "unreachable",
        "rows": sum(view.rows for view in replica.stores.values()),
        "stores": stores,
        "groups": [asdict(group.view) for group in replica.index.groups],
        "missing": sorted(replica.follower.missing or ()),
    }
