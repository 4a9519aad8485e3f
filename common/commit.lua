#!lua
-- One commit to one store: all of it or nothing, on one slot, ordered with every other commit to that store.
-- KEYS  incarnation faces templates thumbnails feed standings seen origins places rekeys pending left-behind
--       staged: faces templates left-behind
-- ARGV  incarnation, expected version or '', feed length, 'idle' (not while sightings wait at the store), the
--       waiting sighting that this settles (only while it does wait), or '',
--       the puts, each seven fields after their lengths (uint32, little endian): face_id, expected record (sha1,
--       '' = absent, '*' = any), record, templates ('' = left behind, '=' = the record's row is the only one),
--       thumbnail ('' = leave, '-' = none any more), standing ('' = visitor), last sighting ms,
--       then per delete: face_id, rekey job (JSON; see `rekeys`), "unless seen later than" ms ('' = in any case)
-- Answers {status, version, faces deleted}; status OK, GONE, VERSION, WAITING or FACE; or {UNFINISHED, version, ids}:
-- those of absent faces whose job was not done once. A face created there would be taken for the one that is gone.
-- A command for many faces instead of one each, and one argument instead of seven a face: a face of a hundred costs
-- Redis 9 us, not 21, and nobody else is served meanwhile.
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

local puts, names, at = {}, {}, 1
while at <= #ARGV[5] do
  local put = {struct.unpack('<I4c0I4c0I4c0I4c0I4c0I4c0I4c0', ARGV[5], at)}
  puts[#puts + 1], names[#names + 1], at = put, put[1], put[8]
end

local SLICE = 1000  -- even, for pairs; Lua's stack takes 8,000
local function slices(list, use)
  for from = 1, #list, SLICE do use(from, unpack(list, from, math.min(from + SLICE - 1, #list))) end
end

local conflict, absent = false, {}
slices(names, function(from, ...)
  for nth, present in ipairs(redis.call('HMGET', faces, ...)) do
    local put = puts[from + nth - 1]
    local expected = put[2]
    if expected ~= '*' and (present and redis.sha1hex(present) or '') ~= expected then conflict = true end
    if not present then absent[#absent + 1] = put[1] end
  end
end)
if conflict then return {'FACE', version, 0} end
local unfinished = {}
if #absent > 0 and redis.call('EXISTS', rekeys) == 1 then
  slices(absent, function(from, ...)
    for nth, job in ipairs(redis.call('HMGET', rekeys, ...)) do
      if job and not cjson.decode(job)['swept'] then unfinished[#unfinished + 1] = absent[from + nth - 1] end
    end
  end)
end
if #unfinished > 0 then return {'UNFINISHED', version, unfinished} end

local function note(changed)
  for _, face_id in ipairs(changed) do
    version = version + 1
    redis.call('XADD', feed, 'MAXLEN', '~', ARGV[3], string.format('%d-0', version), 'f', face_id)
  end
  -- What a migration has staged of them is of the faces as they were (see stage.lua).
  if redis.call('EXISTS', staged_faces) == 0 then return end
  slices(changed, function(_, ...)
    redis.call('HDEL', staged_faces, ...)
    redis.call('HDEL', staged_templates, ...)
    redis.call('SREM', staged_left_behind, ...)
  end)
end

local records, several, single, left, kept, standing, visitors, sighted = {}, {}, {}, {}, {}, {}, {}, {}
local function add(list, one, other)
  list[#list + 1] = one
  list[#list + 1] = other
end
for _, put in ipairs(puts) do
  local face_id, _, record, of_it, thumbnail, known_as, seen_ms = unpack(put)
  add(records, face_id, record)
  add(sighted, seen_ms, face_id)
  add(of_it == '' and left or kept, face_id)
  if of_it == '' or of_it == '=' then add(single, face_id) else add(several, face_id, of_it) end
  if known_as == '' then add(visitors, face_id) else add(standing, face_id, known_as) end
  if thumbnail == '-' then redis.call('HDEL', thumbnails, face_id)
  elseif thumbnail ~= '' then redis.call('HSET', thumbnails, face_id, thumbnail) end
end
slices(records, function(_, ...) redis.call('HSET', faces, ...) end)
slices(several, function(_, ...) redis.call('HSET', templates, ...) end)
slices(single, function(_, ...) redis.call('HDEL', templates, ...) end)
slices(left, function(_, ...) redis.call('SADD', left_behind, ...) end)
slices(kept, function(_, ...) redis.call('SREM', left_behind, ...) end)
slices(standing, function(_, ...) redis.call('HSET', standings, ...) end)
slices(visitors, function(_, ...) redis.call('HDEL', standings, ...) end)
slices(sighted, function(_, ...) redis.call('ZADD', seen, 'GT', ...) end)
note(names)

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

local deleted = {}
for at = 6, #ARGV, 3 do
  local face_id, until_ms = ARGV[at], tonumber(ARGV[at + 2])
  local score = until_ms and redis.call('ZSCORE', seen, face_id)
  if not (score and tonumber(score) > until_ms) and redis.call('HDEL', faces, face_id) == 1 then
    erase(face_id, ARGV[at + 1])
    deleted[#deleted + 1] = face_id
  end
end
note(deleted)
redis.pcall('PUBLISH', feed, '')  -- a hint; who may not publish is followed all the same, a moment later
return {'OK', version, #deleted}
