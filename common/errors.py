"""Every error Facegrid raises on purpose, as one tree; each answers as an RFC 9457 problem with a stable code.

FacegridError                       500 INTERNAL
├── UnsafeBinding                   500 UNSAFE_BINDING
├── CannotTrain                     500 CANNOT_TRAIN
├── InvalidIndex                    500 INVALID_INDEX
├── InvalidManifest                 500 INVALID_MANIFEST
│   ├── WrongHash                   500 WRONG_HASH
│   └── BrokenModel                 500 BROKEN_MODEL
├── InvalidRequest                  422 INVALID_REQUEST
│   ├── MalformedRequest            400 MALFORMED_REQUEST
│   ├── MalformedBody               400 MALFORMED_BODY
│   ├── UnsupportedMediaType        415 UNSUPPORTED_MEDIA_TYPE
│   ├── BodyTooLarge                413 BODY_TOO_LARGE
│   ├── InvalidEmbedding            422 INVALID_EMBEDDING
│   │   ├── WrongDimension          422 WRONG_DIMENSION
│   │   ├── NotFinite               422 NOT_FINITE
│   │   └── ZeroVector              422 ZERO_VECTOR
│   ├── InvalidImage                422 INVALID_IMAGE
│   │   ├── NotAnImage              422 NOT_AN_IMAGE
│   │   ├── TruncatedImage          422 TRUNCATED_IMAGE
│   │   └── ImageTooLarge           422 IMAGE_TOO_LARGE
│   ├── NoFace                      422 NO_FACE
│   ├── MultipleFaces               422 MULTIPLE_FACES
│   ├── PoorQuality                 422 POOR_QUALITY
│   ├── MixedTrack                  422 MIXED_TRACK
│   ├── StoreRequired               422 STORE_REQUIRED
│   ├── UnknownSpace                422 UNKNOWN_SPACE
│   ├── InvalidCurve                422 INVALID_CURVE
│   └── WrongSpace                  422 WRONG_SPACE
├── Unauthorized                    401 UNAUTHORIZED
├── NotFound                        404 NOT_FOUND
│   ├── UnknownStore                404 UNKNOWN_STORE
│   ├── UnknownFace                 404 UNKNOWN_FACE
│   ├── UnknownMember               404 UNKNOWN_MEMBER
│   ├── UnknownErasure              404 UNKNOWN_ERASURE
│   ├── UnknownEvent                404 UNKNOWN_EVENT
│   └── UnknownShard                404 UNKNOWN_SHARD
├── MethodNotAllowed                405 METHOD_NOT_ALLOWED
├── Conflict                        409 CONFLICT
│   ├── VersionConflict             409 VERSION_CONFLICT
│   ├── SightingsWaiting            409 SIGHTINGS_WAITING
│   ├── LeaseLost                   409 LEASE_LOST
│   ├── FaceChanged                 409 FACE_CHANGED
│   ├── FaceBound                   409 FACE_BOUND
│   ├── MemberFull                  409 MEMBER_FULL
│   └── StoreNotEmpty               409 STORE_NOT_EMPTY
└── Unavailable                     503 UNAVAILABLE
    ├── TruthUnavailable            503 TRUTH_UNAVAILABLE
    ├── EncoderBusy                 503 ENCODER_BUSY
    ├── EncoderWorkerDied           503 ENCODER_WORKER_DIED
    ├── EncoderMissing              503 ENCODER_MISSING
    ├── NoLiveShard                 503 NO_LIVE_SHARD
    ├── PendingFull                 503 PENDING_FULL
    ├── SpaceChanging               503 SPACE_CHANGING
    ├── ErasureUnfinished           503 ERASURE_UNFINISHED
    ├── WebhookRefused              503 WEBHOOK_REFUSED
    ├── NothingSearched             503 NOTHING_SEARCHED
    ├── PartialCoverage             503 PARTIAL_COVERAGE
    ├── StaleReplica                503 STALE_REPLICA
    ├── Inconclusive                503 INCONCLUSIVE
    ├── DeadlineExceeded            504 DEADLINE_EXCEEDED
    └── ShardFault                  503 SHARD_FAULT
        ├── ShardUnreachable        503 SHARD_UNREACHABLE
        ├── ShardTimeout            503 SHARD_TIMEOUT
        ├── ShardRejected           503 SHARD_REJECTED
        └── ShardGarbage            503 SHARD_GARBAGE

`replica_may_help` tells the read path whether a sibling replica may do better; everything under `Unavailable`
may be retried by the client, and says after how many seconds.
"""

from __future__ import annotations

from typing import Any, ClassVar


class FacegridError(Exception):
    """Base of the tree. `detail` is one sentence for people; `field` and `limit` name what was wrong with the input."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "INTERNAL"
    title: ClassVar[str] = "Internal error"
    replica_may_help: ClassVar[bool] = False
    retry_after_s: ClassVar[int | None] = None

    def __init__(self, detail: str, *, field: str | None = None, limit: Any = None, **extra: Any) -> None:
        super().__init__(detail)
        self.detail = detail
        self.field = field
        self.limit = limit
        self.extra = extra

    def problem(self) -> dict[str, Any]:
        """The RFC 9457 body: type, title, status, detail, code, and `field`, `limit` and more where they apply."""
        body: dict[str, Any] = {
            "type": f"urn:facegrid:problem:{self.code.lower().replace('_', '-')}",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
        }
        if self.field is not None:
            body["field"] = self.field
        if self.limit is not None:
            body["limit"] = self.limit
        return body | self.extra


class UnsafeBinding(FacegridError):
    """Raised at start, never answered."""

    code, title = "UNSAFE_BINDING", "Refusing to listen beyond this machine without a key"


class CannotTrain(FacegridError):
    """Raised by `facegrid train` alone, never answered: photos, run folder or libraries are not what it needs."""

    code, title = "CANNOT_TRAIN", "Training cannot go on"


class InvalidIndex(FacegridError):
    """Raised at start, never answered."""

    code, title = "INVALID_INDEX", "The replica's index cannot be made"


class InvalidManifest(FacegridError):
    """Raised at start, never answered; its subclasses too."""

    code, title = "INVALID_MANIFEST", "The manifest of a model is not valid"


class WrongHash(InvalidManifest):
    code, title = "WRONG_HASH", "A model is not the one that its manifest means"


class BrokenModel(InvalidManifest):
    code, title = "BROKEN_MODEL", "A model cannot be used as its manifest says"


class InvalidRequest(FacegridError):
    status, code, title = 422, "INVALID_REQUEST", "The request is not valid"


class MalformedRequest(InvalidRequest):
    status, code, title = 400, "MALFORMED_REQUEST", "The request could not be read"


class MalformedBody(InvalidRequest):
    status, code, title = 400, "MALFORMED_BODY", "The body could not be read"


class UnsupportedMediaType(InvalidRequest):
    status, code, title = 415, "UNSUPPORTED_MEDIA_TYPE", "This content type is not accepted here"


class BodyTooLarge(InvalidRequest):
    status, code, title = 413, "BODY_TOO_LARGE", "The body is too large"


class InvalidEmbedding(InvalidRequest):
    code, title = "INVALID_EMBEDDING", "The embedding is not valid"


class WrongDimension(InvalidEmbedding):
    code, title = "WRONG_DIMENSION", "The embedding has the wrong length"


class NotFinite(InvalidEmbedding):
    code, title = "NOT_FINITE", "The embedding holds NaN or infinity"


class ZeroVector(InvalidEmbedding):
    code, title = "ZERO_VECTOR", "The embedding has no direction"


class InvalidImage(InvalidRequest):
    code, title = "INVALID_IMAGE", "The photo could not be read"


class NotAnImage(InvalidImage):
    code, title = "NOT_AN_IMAGE", "The upload is not a photo"


class TruncatedImage(InvalidImage):
    code, title = "TRUNCATED_IMAGE", "The photo is cut off"


class ImageTooLarge(InvalidImage):
    code, title = "IMAGE_TOO_LARGE", "The photo is too large"


class NoFace(InvalidRequest):
    code, title = "NO_FACE", "No face was found in the photo"


class MultipleFaces(InvalidRequest):
    code, title = "MULTIPLE_FACES", "The photo shows more than one face"


class PoorQuality(InvalidRequest):
    code, title = "POOR_QUALITY", "The photo is too poor to enrol"


class MixedTrack(InvalidRequest):
    code, title = "MIXED_TRACK", "The photos of the track are not of one person"


class StoreRequired(InvalidRequest):
    code, title = "STORE_REQUIRED", "A store has to be named"


class UnknownSpace(InvalidRequest):
    code, title = "UNKNOWN_SPACE", "No such embedding space"


class InvalidCurve(InvalidRequest):
    """Raised at start, never answered."""

    code, title = "INVALID_CURVE", "These are no measured false match rates"


class WrongSpace(InvalidRequest):
    code, title = "WRONG_SPACE", "The embedding belongs to another space"


class Unauthorized(FacegridError):
    status, code, title = 401, "UNAUTHORIZED", "An API key is needed"


class NotFound(FacegridError):
    status, code, title = 404, "NOT_FOUND", "There is nothing here"


class UnknownStore(NotFound):
    code, title = "UNKNOWN_STORE", "The store does not exist"


class UnknownFace(NotFound):
    code, title = "UNKNOWN_FACE", "The face does not exist"


class UnknownMember(NotFound):
    code, title = "UNKNOWN_MEMBER", "The member does not exist"


class UnknownErasure(NotFound):
    code, title = "UNKNOWN_ERASURE", "The erasure does not exist"


class UnknownEvent(NotFound):
    code, title = "UNKNOWN_EVENT", "The event does not exist"


class UnknownShard(NotFound):
    code, title = "UNKNOWN_SHARD", "The shard does not exist"


class MethodNotAllowed(FacegridError):
    status, code, title = 405, "METHOD_NOT_ALLOWED", "The method is not allowed here"


class Conflict(FacegridError):
    status, code, title = 409, "CONFLICT", "The request conflicts with what is stored"


class VersionConflict(Conflict):
    code, title = "VERSION_CONFLICT", "The store has changed since the expected version"


class SightingsWaiting(Conflict):
    """Answered to nobody: the sighting waits too, so that strangers are enrolled in the order they came in."""

    code, title = "SIGHTINGS_WAITING", "Earlier sightings of the store still wait"


class LeaseLost(Conflict):
    code, title = "LEASE_LOST", "Another gateway leads by now"


class FaceChanged(Conflict):
    code, title = "FACE_CHANGED", "The face was changed by somebody else meanwhile"


class FaceBound(Conflict):
    code, title = "FACE_BOUND", "The face is bound to a member"


class MemberFull(Conflict):
    code, title = "MEMBER_FULL", "The member has too many faces"


class StoreNotEmpty(Conflict):
    code, title = "STORE_NOT_EMPTY", "The store still holds faces"


class Unavailable(FacegridError):
    status, code, title, retry_after_s = 503, "UNAVAILABLE", "Not available now", 1


class TruthUnavailable(Unavailable):
    code, title = "TRUTH_UNAVAILABLE", "Redis cannot be reached or refuses the write"


class EncoderBusy(Unavailable):
    code, title = "ENCODER_BUSY", "Too many photos are waiting to be encoded"


class EncoderWorkerDied(Unavailable):
    code, title = "ENCODER_WORKER_DIED", "The encoder process died while it worked on the photo"


class EncoderMissing(Unavailable):
    code, title, retry_after_s = "ENCODER_MISSING", "The face encoder cannot be loaded", 60


class NoLiveShard(Unavailable):
    code, title = "NO_LIVE_SHARD", "No shard is alive"


class PendingFull(Unavailable):
    code, title = "PENDING_FULL", "Too many sightings of the store wait already"


class SpaceChanging(Unavailable):
    code, title = "SPACE_CHANGING", "The store is changing its embedding space"


class ErasureUnfinished(Unavailable):
    code, title = "ERASURE_UNFINISHED", "What a face that is gone has left is still being removed"


class WebhookRefused(Unavailable):
    code, title = "WEBHOOK_REFUSED", "The webhook's receiver did not take the event"


class NothingSearched(Unavailable):
    code, title = "NOTHING_SEARCHED", "No shard answered the search"


class PartialCoverage(Unavailable):
    code, title = "PARTIAL_COVERAGE", "A part of the scope could not be searched"


class StaleReplica(Unavailable):
    code, title = "STALE_REPLICA", "No replica has the version asked for"


class Inconclusive(Unavailable):
    code, title = "INCONCLUSIVE", "The search could not cover every store"


class DeadlineExceeded(Unavailable):
    status, code, title = 504, "DEADLINE_EXCEEDED", "The request ran out of time"


class ShardFault(Unavailable):
    """A call from the gateway to one replica failed; the subclasses say how."""

    code, title, replica_may_help = "SHARD_FAULT", "A shard replica failed", True


class ShardUnreachable(ShardFault):
    code, title = "SHARD_UNREACHABLE", "A shard replica cannot be reached"


class ShardTimeout(ShardFault):
    code, title = "SHARD_TIMEOUT", "A shard replica did not answer in time"


class ShardRejected(ShardFault):
    code, title, replica_may_help = "SHARD_REJECTED", "A shard replica refused the call", False


class ShardGarbage(ShardFault):
    code, title = "SHARD_GARBAGE", "A shard replica answered something unreadable"
