"""The camera agent: frames in, one sighting a person out, with the times at which the people were seen.

    source ──► detect ──► track ──► the sharpest photos ──► spool (disk) ──► sender ──► gateway

`agent` is the left half and `sender` the right one; between them lies the spool, so that a gateway that is away costs
nothing but time. Frames never reach a disk: only the crops of faces do, until the gateway has them.
"""
