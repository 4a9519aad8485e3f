#!lua
-- Note that the webhook was told an event. Only forward: a leader that was held up while another took over comes late
-- with what that one has told long ago.
-- KEYS  incarnation cursor; both of one store        ARGV  the event's id
-- Answers 1; 0 where the cursor has come so far already, or the store is gone. Then nothing is changed.
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
local present = redis.call('GET', KEYS[2])
if present then
  local ms, nth = string.match(present, '^(%d+)-(%d+)$')
  local new_ms, new_nth = string.match(ARGV[1], '^(%d+)-(%d+)$')
  ms, nth, new_ms, new_nth = tonumber(ms), tonumber(nth), tonumber(new_ms), tonumber(new_nth)
  if new_ms < ms or (new_ms == ms and new_nth <= nth) then return 0 end
end
redis.call('SET', KEYS[2], ARGV[1])
return 1
