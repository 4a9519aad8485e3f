#!lua
-- Take or keep the leader's lease. A new holder gets a higher epoch than any before: what an earlier leader still has
-- under way is refused by it (see map_set.lua).
-- KEYS  leader epoch        ARGV  holder, milliseconds; 0 gives it back
-- Answers the lease's token "<epoch>:<holder>" if the caller holds it now, else ''.
local present = redis.call('GET', KEYS[1])
if present then
  if string.match(present, '^%d+:(.*)$') ~= ARGV[1] then return '' end
  redis.call('PEXPIRE', KEYS[1], ARGV[2])  -- 0 deletes it
  return present
end
if tonumber(ARGV[2]) == 0 then return '' end
local token = redis.call('INCR', KEYS[2]) .. ':' .. ARGV[1]
redis.call('SET', KEYS[1], token, 'PX', ARGV[2])
return token
