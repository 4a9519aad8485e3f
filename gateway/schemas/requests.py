"""Request bodies. Unknown fields are refused: a misspelt option must not be silently ignored."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from common.limits import (
    LEAST_FPIR,
    MAX_BATCH,
    MAX_EMBEDDINGS,
    MAX_LABEL_VALUE,
    MAX_LABELS,
    MAX_PHOTOS,
    MAX_REENTRY_WINDOW_S,
    MAX_RETENTION_DAYS,
    MAX_TEMPLATES,
    MAX_TOP_K,
    MIN_REENTRY_WINDOW_S,
    NAME,
    REENTRY_WINDOW_S,
    RETENTION_DAYS,
)
from common.types import Kind, Scope, Wait
from gateway.schemas.examples import EMBEDDING

NAME_SCHEMA: dict[str, JsonValue] = {"pattern": f"^{NAME.pattern}$"}
"""for the OpenAPI page; `check_name` checks, and tells the rule in words"""
LABELS_SCHEMA: dict[str, JsonValue] = {
    "maxProperties": MAX_LABELS,
    "propertyNames": NAME_SCHEMA,
    "additionalProperties": {"type": "string", "maxLength": MAX_LABEL_VALUE},
}
"""for the OpenAPI page; `check_labels` checks"""
MAX_TIMEZONE = 64

Name = Annotated[str, Field(json_schema_extra=NAME_SCHEMA)]
Embedding = Annotated[list[float], Field(min_length=1, max_length=4096, fail_fast=True)]


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class StoreBody(Body):
    """Everything is optional; what is left out stays as it is, or takes its default on a new store."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"shard": "s2", "group": "austria", "timezone": "Europe/Vienna"}, {}]}
    )

    shard: Name | None = Field(None, description="Place a new store here; left out: the least loaded live shard.")
    group: Name | None = Field(None, description="Stores of one group see each other's visitors.")
    timezone: str | None = Field(
        None, max_length=MAX_TIMEZONE, description="IANA name; days and hours of the reports follow it."
    )
    space: Name | None = Field(
        None, description="Embedding space of a new store, see GET /v1/spaces; later only a migration changes it."
    )
    threshold: float | None = Field(
        None,
        ge=-1,
        le=1,
        description="Fixed score threshold for this store's own gallery; a fan-out needs at least that too. "
        "Null: by gallery size.",
    )
    target_fpir: float | None = Field(
        None,
        ge=LEAST_FPIR,
        le=0.5,
        description="Accepted chance that a stranger matches anyone; null: FACEGRID_TARGET_FPIR.",
    )
    margin: float | None = Field(
        None,
        ge=0,
        le=2,
        description="A match is AMBIGUOUS, and so inconclusive, if another person is less than this behind (in score "
        "over the threshold); null: never. Sightings are counted for the nearest all the same.",
    )
    reentry_window_s: int | None = Field(
        None,
        ge=MIN_REENTRY_WINDOW_S,
        le=MAX_REENTRY_WINDOW_S,
        description=f"Somebody unseen for longer comes for another visit; a new store's: {REENTRY_WINDOW_S}.",
    )
    retention_days: int | None = Field(
        None,
        ge=1,
        le=MAX_RETENTION_DAYS,
        description=f"A visitor unseen for longer is erased; a new store's: {RETENTION_DAYS}.",
    )
    member_retention_days: int | None = Field(
        None, ge=1, le=MAX_RETENTION_DAYS, description="The same for members; null: they are kept."
    )


class EnrolBody(Body):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"embeddings": [EMBEDDING], "face_id": "ada", "kind": "member", "labels": {"door": "north"}}]
        }
    )

    embeddings: Annotated[list[Embedding], Field(min_length=1, max_length=MAX_TEMPLATES)]
    face_id: Name | None = None
    kind: Annotated[Kind, Field(strict=False)] | None = None
    labels: Annotated[dict[str, str], Field(json_schema_extra=LABELS_SCHEMA)] | None = None


class RevisionBody(Body):
    """What is left out stays as it is."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"kind": "staff"}, {"labels": {"door": "north"}}]})

    kind: Annotated[Kind, Field(strict=False)] | None = None
    labels: Annotated[dict[str, str], Field(json_schema_extra=LABELS_SCHEMA)] | None = Field(
        None, description="Instead of all labels there are."
    )


class SearchBody(Body):
    model_config = ConfigDict(json_schema_extra={"examples": [{"embeddings": [EMBEDDING]}]})

    embeddings: Annotated[list[Embedding], Field(min_length=1, max_length=MAX_EMBEDDINGS)]


class BatchedSearch(Body):
    store: Name = Field(description="home")
    embedding: Embedding


class BatchBody(Body):
    model_config = ConfigDict(
        json_schema_extra={"examples": [{"searches": [{"store": "vienna-1", "embedding": EMBEDDING}]}]}
    )

    searches: Annotated[list[BatchedSearch], Field(min_length=1, max_length=MAX_BATCH)]


class BatchOptions(BaseModel):
    """Query parameters of many searches at once, alike for all of them."""

    model_config = ConfigDict(extra="forbid")

    top_k: int = Field(5, ge=1, le=MAX_TOP_K, description="Candidates a face.")
    scope: Scope = Field(
        Scope.AUTO, description="auto: home, then the group on a miss; store: home only; group: all at once."
    )
    exact: bool = Field(False, description="Look at every row, whatever index the shard uses.")
    threshold: float | None = Field(None, ge=-1, le=1, description="Instead of the one for this many rows.")
    allow_partial: bool = Field(
        True,
        description="false: PARTIAL_COVERAGE, with the coverage in the body, unless every store was searched that this "
        "answer depends on; even a match then (somebody more alike may be missing). A match at home needs only home.",
    )
    photos: int = Field(
        1, ge=1, le=MAX_PHOTOS, description="With embeddings: how many photos of one person each is the mean of."
    )


class RawBatchOptions(BatchOptions):
    stores: str | None = Field(
        None,
        max_length=MAX_BATCH * 65,
        description="With a raw body: the home stores, with commas between; one for all probes, or one a probe.",
    )


class SearchOptions(BatchOptions):
    """Query parameters of a search."""

    min_version: int | None = Field(
        None,
        ge=0,
        le=2**63 - 1,
        description="See at least this version of the home store (an enrolment's `version`): waits for a replica that "
        "has it, else STALE_REPLICA.",
    )


class EnrolOptions(BaseModel):
    """Query parameters of an enrolment; `face_id` and `kind` go with a raw body, which has no place for them."""

    model_config = ConfigDict(extra="forbid")

    face_id: Name | None = Field(None, description="With a raw body: the face; left out: one is made up.")
    kind: Kind | None = Field(None, description="With a raw body: visitor (default), member or staff.")
    expected_version: int | None = Field(
        None, ge=0, description="Commit only if the store is still at this version, else VERSION_CONFLICT."
    )
    wait: Wait = Field(Wait.VISIBLE, description="visible: until the next search sees it; committed: until on disk.")
