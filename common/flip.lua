#!lua
-- Put what is staged in the place of the store's faces, all at once. From here on the store has another incarnation, so
-- no write that was meant for the old space is accepted; the migration says which one, until the map says it too.
-- KEYS  incarnation migration pending | faces templates left-behind | staged: faces templates left-behind
-- ARGV  incarnation, the space, new incarnation, 'leave' (faces may be left behind) or ''
-- Answers OK; GONE: the store is not this one (any more); OTHER: another migration was begun; CHANGED: some faces are
-- not staged (any more); PHOTOS: some would be left behind; WAITING: sightings wait, whose probes are of the old space.
-- Then nothing is changed.
local incarnation, migration, pending = unpack(KEYS)
if redis.call('GET', incarnation) ~= ARGV[1] then return 'GONE' end
if redis.call('HGET', migration, 'to') ~= ARGV[2] then return 'OTHER' end
if redis.call('HLEN', KEYS[4]) ~= redis.call('HLEN', KEYS[7]) then return 'CHANGED' end
if ARGV[4] == '' and redis.call('SCARD', KEYS[9]) > 0 then return 'PHOTOS' end
if redis.call('XLEN', pending) > 0 then return 'WAITING' end
redis.call('UNLINK', KEYS[4], KEYS[5], KEYS[6])
for at = 7, 9 do
  if redis.call('EXISTS', KEYS[at]) == 1 then redis.call('RENAME', KEYS[at], KEYS[at - 3]) end
end
redis.call('SET', incarnation, ARGV[3])
redis.call('HSET', migration, 'into', ARGV[3])
return 'OK'
