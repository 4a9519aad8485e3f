#!lua
-- Count one sighting of one person: what its face's home store keeps of it, what the store it was at keeps, or both.
-- KEYS  incarnation faces seen origins places | days firsts pending events | visits of the date, of the day before, of
--       the day after; all of one store
-- ARGV  creation (what its incarnation begins with), part ('home', 'visit' or 'both'), face_id, person, sighting ms,
--       date, midnight ms, window ms, place (the store, where it is not the face's own; '' otherwise),
--       event type ('' = none), late ('1' or ''), announced before (person or ''), pending entry to remove ('' = none),
--       '1' = out of order, whoever waits; then per pending entry of the same picture: its id, what takes its place
-- Answers {status, 1 if a visit started, visit's start ms, first sighting there ms, first anywhere ms, event id or ''};
-- status OK; GONE: the store is not this one (any more); FACE: the face is not there (any more); WAIT: earlier sightings
-- wait at the store, and this one goes behind them; DONE: the pending one waits no more. Then nothing is changed.
local incarnation, faces, seen, origins, places, days, firsts, pending, events, today, before, after = unpack(KEYS)
local part, face_id, person = ARGV[2], ARGV[3], ARGV[4]
local at, date, midnight, window = tonumber(ARGV[5]), ARGV[6], tonumber(ARGV[7]), tonumber(ARGV[8])
local DAY = 86400000
if string.sub(redis.call('GET', incarnation) or '', 1, #ARGV[1]) ~= ARGV[1] then return {'GONE', 0, 0, 0, 0, ''} end

-- So that an outage changes nothing: sightings of a store are counted in the order they came. With more than ORDERED
-- waiting, getting done with them matters more.
local ORDERED = 1000
if part ~= 'home' and ARGV[13] == '' and ARGV[14] == '' then
  local waiting = redis.call('XLEN', pending)
  if waiting > 0 and waiting <= ORDERED then return {'WAIT', 0, 0, 0, 0, ''} end
end
-- What no longer waits was counted by somebody else, perhaps under the name of somebody erased.
if part ~= 'home' and ARGV[13] ~= '' and #redis.call('XRANGE', pending, ARGV[13], ARGV[13]) == 0 then
  return {'DONE', 0, 0, 0, 0, ''}
end

local function earliest(hash, field)
  local known = tonumber(redis.call('HGET', hash, field))
  if known and known <= at then return known end
  redis.call('HSET', hash, field, ARGV[5])
  return at
end

local origin = 0
if part ~= 'visit' then
  if redis.call('HEXISTS', faces, face_id) == 0 then return {'FACE', 0, 0, 0, 0, ''} end
  redis.call('ZADD', seen, 'GT', ARGV[5], face_id)
  origin = earliest(origins, face_id)
  if ARGV[9] ~= '' then
    local listed = redis.call('HGET', places, face_id) or ''
    if not string.find(',' .. listed .. ',', ',' .. ARGV[9] .. ',', 1, true) then
      redis.call('HSET', places, face_id, listed == '' and ARGV[9] or (listed .. ',' .. ARGV[9]))
    end
  end
  if part == 'home' then return {'OK', 0, 0, 0, origin, ''} end
end

local function read(key)
  local found = {}
  for from, to in string.gmatch(redis.call('HGET', key, person) or '', '(%d+)-(%d+)') do
    found[#found + 1] = {tonumber(from), tonumber(to)}
  end
  return found
end

local offset = at - midnight
local visits, joined = {}, nil
for _, visit in ipairs(read(today)) do
  if visit[1] - window > offset or visit[2] + window < offset then
    visits[#visits + 1] = visit
  elseif joined then
    joined[1], joined[2] = math.min(joined[1], visit[1]), math.max(joined[2], visit[2])
  else
    joined = {math.min(visit[1], offset), math.max(visit[2], offset)}
  end
end
local started = not joined
joined = joined or {offset, offset}
visits[#visits + 1] = joined
table.sort(visits, function(one, other) return one[1] < other[1] end)
local written = {}
for _, visit in ipairs(visits) do written[#written + 1] = string.format('%.0f-%.0f', visit[1], visit[2]) end
redis.call('HSET', today, person, table.concat(written, ';'))
redis.call('SADD', days, date)

-- The piece of the day before or after may be of the same visit.
local start = joined[1]
local earlier = read(before)
for nth = #earlier, 1, -1 do
  if earlier[nth][2] + window < start + DAY then break end
  start, started = earlier[nth][1] - DAY, false
end
if started then
  local later = read(after)[1]
  started = not (later and later[1] - window <= joined[2] - DAY)
end

local first = earliest(firsts, person)
if ARGV[13] ~= '' then
  redis.call('XDEL', pending, ARGV[13])
  for nth = 15, #ARGV, 2 do
    if redis.call('XDEL', pending, ARGV[nth]) == 1 then redis.call('XADD', pending, '*', 's', ARGV[nth + 1]) end
  end
end
local event = ''
local was = ARGV[12]
if ARGV[10] ~= '' and was ~= person and (was ~= '' or started) then
  local said = {'t', was == '' and ARGV[10] or 'correction', 'k', person, 'a', ARGV[5]}
  if ARGV[11] ~= '' then said[#said + 1] = 'l'; said[#said + 1] = '1' end
  if was ~= '' then said[#said + 1] = 'w'; said[#said + 1] = was end
  event = redis.call('XADD', events, 'MAXLEN', '~', 10000, '*', unpack(said))
end
return {'OK', started and 1 or 0, midnight + start, first, origin, event}
