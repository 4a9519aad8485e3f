#!lua
-- One commit to one store: all of it or nothing, on one slot, ordered with every other commit to that store.
-- KEYS  incarnation faces templates thumbnails feed
-- ARGV  incarnation, expected version or '', feed length, number of puts,
--       per put: face_id, expected record (sha1, '' = absent, '*' = any), record, templates, thumbnail ('' = leave),
--       then the face_ids to delete
-- Answers {status, version, faces deleted}; status OK, GONE, VERSION or FACE.
local incarnation, faces, templates, thumbnails, feed = unpack(KEYS)
if redis.call('GET', incarnation) ~= ARGV[1] then return {'GONE', 0, 0} end

local last = redis.call('XREVRANGE', feed, '+', '-', 'COUNT', 1)
local version = 0
if last[1] then version = tonumber(string.match(last[1][1], '^%d+')) end
if ARGV[2] ~= '' and tonumber(ARGV[2]) ~= version then return {'VERSION', version, 0} end

local puts = tonumber(ARGV[4])
local first_delete = 5 + puts * 5
for at = 5, first_delete - 1, 5 do
  local expected = ARGV[at + 1]
  if expected ~= '*' then
    local present = redis.call('HGET', faces, ARGV[at])
    if (present and redis.sha1hex(present) or '') ~= expected then return {'FACE', version, 0} end
  end
end

local function changed(face_id)
  version = version + 1
  redis.call('XADD', feed, 'MAXLEN', '~', ARGV[3], string.format('%d-0', version), 'f', face_id)
end

for at = 5, first_delete - 1, 5 do
  redis.call('HSET', faces, ARGV[at], ARGV[at + 2])
  redis.call('HSET', templates, ARGV[at], ARGV[at + 3])
  if ARGV[at + 4] ~= '' then redis.call('HSET', thumbnails, ARGV[at], ARGV[at + 4]) end
  changed(ARGV[at])
end

local deleted = 0
for at = first_delete, #ARGV do
  if redis.call('HDEL', faces, ARGV[at]) == 1 then
    redis.call('HDEL', templates, ARGV[at])
    redis.call('HDEL', thumbnails, ARGV[at])
    changed(ARGV[at])
    deleted = deleted + 1
  end
end
return {'OK', version, deleted}
