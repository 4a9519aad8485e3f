#!lua
-- Write down the figures of a day, or only who came (no until), and add the persons to the day's two HyperLogLogs.
-- KEYS  incarnation, roll-ups, persons, members
-- ARGV  creation (what its incarnation begins with), head as the caller saw it, new head or '', date, day as JSON,
--       number of persons, the persons, then those of them who are members
-- Answers 1, or 0 where somebody else has gone on meanwhile: what the caller read may have been incomplete then.
if string.sub(redis.call('GET', KEYS[1]) or '', 1, #ARGV[1]) ~= ARGV[1] then return 0 end
if (redis.call('HGET', KEYS[2], 'head') or '') ~= ARGV[2] then return 0 end
local last_person = 6 + tonumber(ARGV[6])
for at = 7, #ARGV do
  redis.call('PFADD', KEYS[at <= last_person and 3 or 4], ARGV[at])
end
redis.call('HSET', KEYS[2], ARGV[4], ARGV[5])
if ARGV[3] ~= '' then redis.call('HSET', KEYS[2], 'head', ARGV[3]) end
return 1
