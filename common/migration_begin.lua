#!lua
-- Begin a change of the store's space, or find the one that was begun; one to another space is given up.
-- KEYS  incarnation feed migration | staged: faces templates left-behind
-- ARGV  incarnation, the space ('' = only give up what was begun), its dimension: what was staged with another is of no
--       use either
-- Answers {'OK', cursor, version}, or {'GONE'}: the store is not this one (any more). Then nothing is changed.
local incarnation, feed, migration = unpack(KEYS)
if redis.call('GET', incarnation) ~= ARGV[1] then return {'GONE'} end
local found = redis.call('HMGET', migration, 'from', 'to', 'dimension', 'cursor', 'version')
if found[1] == ARGV[1] and found[2] == ARGV[2] and found[3] == ARGV[3] then return {'OK', found[4], found[5]} end
redis.call('UNLINK', migration, unpack(KEYS, 4))
if ARGV[2] == '' then return {'OK', '0', '0'} end
local last = redis.call('XREVRANGE', feed, '+', '-', 'COUNT', 1)
local version = last[1] and string.match(last[1][1], '^%d+') or '0'
redis.call(
  'HSET', migration, 'from', ARGV[1], 'to', ARGV[2], 'dimension', ARGV[3], 'cursor', '0', 'version', version
)
return {'OK', '0', version}
