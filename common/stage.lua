#!lua
-- Keep faces as they shall be in the space to come, each only if it still is what that was made from. A commit that
-- changes a face drops what is staged of it (see commit.lua): whatever is staged is of the face as it is.
-- KEYS  incarnation faces migration | staged: faces templates left-behind
-- ARGV  incarnation, the space, cursor and version that the migration has come to ('' = leave),
--       then per face: face_id, sha1 of its record, new record, new templates ('' = it is left behind,
--       '=' = the record's row is the only one)
-- Answers OK; GONE: the store is not this one (any more); OTHER: another migration was begun. Then nothing is changed.
local incarnation, faces, migration, staged_faces, staged_templates, staged_left_behind = unpack(KEYS)
if redis.call('GET', incarnation) ~= ARGV[1] then return 'GONE' end
if redis.call('HGET', migration, 'to') ~= ARGV[2] then return 'OTHER' end
for at = 5, #ARGV, 4 do
  local face_id = ARGV[at]
  local present = redis.call('HGET', faces, face_id)
  if present and redis.sha1hex(present) == ARGV[at + 1] then
    redis.call('HSET', staged_faces, face_id, ARGV[at + 2])
    if ARGV[at + 3] == '' or ARGV[at + 3] == '=' then redis.call('HDEL', staged_templates, face_id)
    else redis.call('HSET', staged_templates, face_id, ARGV[at + 3]) end
    redis.call(ARGV[at + 3] == '' and 'SADD' or 'SREM', staged_left_behind, face_id)
  end
end
if ARGV[3] ~= '' then redis.call('HSET', migration, 'cursor', ARGV[3], 'version', ARGV[4]) end
return 'OK'
