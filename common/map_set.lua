#!lua
-- Compare and set one store's entry in the map, and tell the followers.
-- KEYS  stores feed leader
-- ARGV  store, expected JSON ('' = absent), new JSON ('' = remove), the lease's token ('' = not written as the leader)
-- Answers 1; 0 where the entry is not the expected one; -1 where the lease is another's by now. Then nothing is changed.
if ARGV[4] ~= '' and redis.call('GET', KEYS[3]) ~= ARGV[4] then return -1 end
local present = redis.call('HGET', KEYS[1], ARGV[1]) or ''
if present ~= ARGV[2] then return 0 end
if ARGV[3] == '' then
  redis.call('HDEL', KEYS[1], ARGV[1])
else
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
end
redis.call('XADD', KEYS[2], 'MAXLEN', '~', 1000, '*', 's', ARGV[1])
redis.pcall('PUBLISH', KEYS[2], '')
return 1
