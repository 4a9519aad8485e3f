"""`/v1/members`: customers known by name, and which faces are theirs."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from common.limits import MAX_PAGE, check_name
from common.scan import START
from common.types import Wait
from gateway.body import JSON, content_type, read_json
from gateway.routes.docs import (
    Cursor,
    FaceId,
    MemberId,
    StoreName,
    WaitFor,
    json_body,
    problems,
    request_body,
    succeeds,
)
from gateway.schemas.faces import RevisedAnswer
from gateway.schemas.members import BoundFaceAnswer, MemberAnswer, MemberBody, MemberFacesAnswer, MembersAnswer
from gateway.services import Found, Limit

router = APIRouter(prefix="/v1/members", tags=["members"])
FACE = "/{member_id}/faces/{store}/{face_id}"


@router.put(
    "/{member_id}",
    summary="Create a member, or replace its profile",
    status_code=201,
    responses=succeeds(200, "It was there; its profile is as sent now", MemberAnswer)
    | problems(400, 401, 413, 415, 422, 503, 504),
    openapi_extra=request_body(json_body(MemberBody)),
)
async def put_member(
    member_id: MemberId, request: Request, response: Response, found: Found, limit: Limit
) -> MemberAnswer:
    content_type(request, [JSON])
    card = (await read_json(request, MemberBody)).card(check_name("member_id", member_id))
    limit.waive()
    profile, new = await found.members.put(card)
    response.status_code = 201 if new else 200
    return MemberAnswer.profile(profile)


@router.get("", summary="List members", responses=problems(401, 422, 503))
async def list_members(
    found: Found,
    cursor: Cursor = START,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE, description="About so many members a page.")] = 100,
) -> MembersAnswer:
    """Every member who is there from the first page to the last appears; one may appear twice, as where Redis is
    started again in between."""
    following, page = await found.members.page(cursor, limit)
    members = [MemberAnswer.profile(profile) for profile in page]
    return MembersAnswer(members=members, cursor=following)


@router.get("/{member_id}", summary="One member", responses=problems(401, 404, 422, 503))
async def get_member(member_id: MemberId, found: Found) -> MemberAnswer:
    return MemberAnswer.profile(await found.members.profile(check_name("member_id", member_id)))


@router.delete(
    "/{member_id}",
    summary="Delete a member; its faces become visitors'",
    status_code=204,
    responses=problems(401, 404, 409, 422, 503, 504),
)
async def delete_member(member_id: MemberId, found: Found, limit: Limit) -> None:
    """The faces stay enrolled, unbound. Cut short, it leaves the member with some of its faces: repeat it."""
    await found.members.delete(check_name("member_id", member_id), limit)


@router.get("/{member_id}/faces", summary="The faces bound to a member", responses=problems(401, 404, 422, 503))
async def list_member_faces(member_id: MemberId, found: Found) -> MemberFacesAnswer:
    faces = await found.members.faces(check_name("member_id", member_id))
    return MemberFacesAnswer(faces=[BoundFaceAnswer.bound(*face) for face in faces])


@router.put(FACE, summary="Bind a face to a member", responses=problems(401, 404, 409, 422, 503, 504))
async def bind(
    member_id: MemberId,
    store: StoreName,
    face_id: FaceId,
    found: Found,
    limit: Limit,
    wait: WaitFor = Wait.VISIBLE,
) -> RevisedAnswer:
    """A visitor's face becomes a member's, staff stays staff. A face that was another member's is this one's now."""
    home = await found.view.store(store)
    names = check_name("member_id", member_id), check_name("face_id", face_id)
    done = await found.members.bind(names[0], home, names[1], limit)
    visible = await found.reviser.is_visible(home, done, wait, limit)
    return RevisedAnswer.revised(store, face_id, done, visible=visible)


@router.delete(FACE, summary="Unbind a face from a member", responses=problems(401, 404, 409, 422, 503, 504))
async def unbind(
    member_id: MemberId,
    store: StoreName,
    face_id: FaceId,
    found: Found,
    limit: Limit,
    wait: WaitFor = Wait.VISIBLE,
) -> RevisedAnswer:
    """The face stays enrolled, as a visitor's; staff stays staff. Once more does no harm."""
    home = await found.view.store(store)
    names = check_name("member_id", member_id), check_name("face_id", face_id)
    done = await found.members.unbind(names[0], home, names[1], limit)
    visible = await found.reviser.is_visible(home, done, wait, limit)
    return RevisedAnswer.revised(store, face_id, done, visible=visible)
