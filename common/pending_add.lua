#!lua
-- Keep a sighting that waits, and tell the checkout who it may be, once a window; both at a store that is there.
-- KEYS  incarnation pending announced events; all of one store
-- ARGV  incarnation, how many may wait, the sighting, window ms ('' = tell nobody), person, sighting ms,
--       the entry that it takes the place of ('' = none)
-- Answers OK; GONE: the store is not this one (any more); FULL; DONE: that entry waits no more. Then nothing is changed.
local incarnation, pending, announced, events = unpack(KEYS)
if redis.call('GET', incarnation) ~= ARGV[1] then return 'GONE' end
if ARGV[7] ~= '' then
  if redis.call('XDEL', pending, ARGV[7]) == 0 then return 'DONE' end
elseif redis.call('XLEN', pending) >= tonumber(ARGV[2]) then return 'FULL' end
redis.call('XADD', pending, '*', 's', ARGV[3])
if ARGV[4] ~= '' and redis.call('SET', announced, '', 'PX', ARGV[4], 'NX') then
  redis.call('XADD', events, 'MAXLEN', '~', 10000, '*', 't', 'arrival', 'k', ARGV[5], 'a', ARGV[6], 'p', '1')
end
return 'OK'
