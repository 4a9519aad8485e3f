#!lua
-- One commit to one store: all of it or nothing, on one slot, ordered with every other commit to that store.
-- KEYS  incarnation faces templates thumbnails feed standings seen origins places rekeys pending left-behind
--       staged: faces templates left-behind
-- ARGV  incarnation, expected version or '', feed length, 'idle' (not while sightings wait at the store), the
--       waiting sighting that this settles (only while it does wait), or '',
--       number of puts, per put: face_id, expected record (sha1, '' = absent, '*' = any), record, templates,
--       thumbnail ('' = leave, '-' = none any more), standing ('' = visitor), last sighting ms,
--       then per delete: face_id, rekey job (JSON; see `rekeys`), "unless seen later than" ms ('' = in any case)
-- Answers {status, version, faces deleted}; status OK, GONE, VERSION, WAITING or FACE.
local incarnation, faces, templates, thumbnails, feed, standings, seen, origins, places, rekeys, pending = unpack(KEYS)
local left_behind, staged_faces, staged_templates, staged_left_behind = unpack(KEYS, 12)
if redis.call('GET', incarnation) ~= ARGV[1] then return {'GONE', 0, 0} end

local last = redis.call('XREVRANGE', feed, '+', '-', 'COUNT', 1)
local version = 0
if last[1] then version = tonumber(string.match(last[1][1], '^%d+')) end
if ARGV[2] ~= '' and tonumber(ARGV[2]) ~= version then return {'VERSION', version, 0} end
if ARGV[4] == 'idle' then  -- as in sight.lua: in order, unless too many wait
  local waiting = redis.call('XLEN', pending)
  if waiting > 0 and waiting <= 1000 then return {'WAITING', version, 0} end
elseif ARGV[4] ~= '' and #redis.call('XRANGE', pending, ARGV[4], ARGV[4]) == 0 then
  return {'WAITING', version, 0}
end

local puts = tonumber(ARGV[5])
local first_delete = 6 + puts * 7
for at = 6, first_delete - 1, 7 do
  local expected = ARGV[at + 1]
  if expected ~= '*' then
    local present = redis.call('HGET', faces, ARGV[at])
    if (present and redis.sha1hex(present) or '') ~= expected then return {'FACE', version, 0} end
  end
end

local function changed(face_id)
  version = version + 1
  redis.call('XADD', feed, 'MAXLEN', '~', ARGV[3], string.format('%d-0', version), 'f', face_id)
  -- What a migration has staged of it is of the face as it was (see stage.lua).
  redis.call('HDEL', staged_faces, face_id)
  redis.call('HDEL', staged_templates, face_id)
  redis.call('SREM', staged_left_behind, face_id)
end

for at = 6, first_delete - 1, 7 do
  local face_id, standing = ARGV[at], ARGV[at + 5]
  redis.call('HSET', faces, face_id, ARGV[at + 2])
  redis.call('HSET', templates, face_id, ARGV[at + 3])
  redis.call(ARGV[at + 3] == '' and 'SADD' or 'SREM', left_behind, face_id)
  if ARGV[at + 4] == '-' then redis.call('HDEL', thumbnails, face_id)
  elseif ARGV[at + 4] ~= '' then redis.call('HSET', thumbnails, face_id, ARGV[at + 4]) end
  if standing == '' then redis.call('HDEL', standings, face_id) else redis.call('HSET', standings, face_id, standing) end
  redis.call('ZADD', seen, 'GT', ARGV[at + 6], face_id)
  changed(face_id)
end

local function erase(face_id, job)
  local standing = redis.call('HGET', standings, face_id) or 'v'
  redis.call('HDEL', templates, face_id)
  redis.call('HDEL', thumbnails, face_id)
  redis.call('SREM', left_behind, face_id)
  redis.call('HDEL', standings, face_id)
  redis.call('ZREM', seen, face_id)
  redis.call('HDEL', origins, face_id)
  local was_at = redis.call('HGET', places, face_id)
  redis.call('HDEL', places, face_id)
  local begun = cjson.decode(job)
  begun['places'] = was_at or ''
  begun['standing'] = standing
  begun['to'] = (string.gsub(begun['to'], '^~v', '~' .. string.sub(standing, 1, 1)))
  redis.call('HSET', rekeys, face_id, cjson.encode(begun))
end

local deleted = 0
for at = first_delete, #ARGV, 3 do
  local face_id, until_ms = ARGV[at], tonumber(ARGV[at + 2])
  local score = until_ms and redis.call('ZSCORE', seen, face_id)
  if not (score and tonumber(score) > until_ms) and redis.call('HDEL', faces, face_id) == 1 then
    erase(face_id, ARGV[at + 1])
    changed(face_id)
    deleted = deleted + 1
  end
end
return {'OK', version, deleted}
