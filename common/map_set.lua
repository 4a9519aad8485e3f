#!lua
-- Compare and set one store's entry in the map, and tell the followers.
-- KEYS  stores feed        ARGV  store, expected JSON ('' = absent), new JSON ('' = remove)
-- Answers 1, or 0 where the entry is not the expected one (nothing is changed then).
local present = redis.call('HGET', KEYS[1], ARGV[1]) or ''
if present ~= ARGV[2] then return 0 end
if ARGV[3] == '' then
  redis.call('HDEL', KEYS[1], ARGV[1])
else
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
end
redis.call('XADD', KEYS[2], 'MAXLEN', '~', 1000, '*', 's', ARGV[1])
return 1
