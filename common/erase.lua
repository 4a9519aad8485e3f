#!lua
-- Erase a store's faces and its incarnation, or nothing where that would erase what the caller did not mean.
-- KEYS  incarnation, then every other key of the store but those that end in a day; faces first
-- ARGV  incarnation, 'force' or '', positions among KEYS of the days, the roll-ups and the rekeys,
--       prefixes of the keys that end in a day: visits, distinct, distinct-members
-- Answers {status, faces}; status OK, OTHER (created again meanwhile), NOT_EMPTY, or UNFINISHED (a job of a face that is
-- gone was not done once: only it knows what of it is left elsewhere). No incarnation: begun before.
local present = redis.call('GET', KEYS[1])
if present and present ~= ARGV[1] then return {'OTHER', 0} end
local faces = redis.call('HLEN', KEYS[2])
if faces > 0 and ARGV[2] == '' then return {'NOT_EMPTY', faces} end
for _, job in ipairs(redis.call('HVALS', KEYS[tonumber(ARGV[5])])) do
  if not cjson.decode(job)['swept'] then return {'UNFINISHED', faces} end
end
for _, date in ipairs(redis.call('SMEMBERS', KEYS[tonumber(ARGV[3])])) do
  redis.call('UNLINK', ARGV[6] .. date)
end
for _, date in ipairs(redis.call('HKEYS', KEYS[tonumber(ARGV[4])])) do
  redis.call('UNLINK', ARGV[7] .. date, ARGV[8] .. date)
end
redis.call('UNLINK', unpack(KEYS))
return {'OK', faces}
