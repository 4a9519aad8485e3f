#!lua
-- Forget when persons who are nobody's face any more were first seen at a store, once no visit of theirs is kept there.
-- KEYS  days firsts        ARGV  prefix of the visits' keys, then the persons
-- The visits' keys are made here from the days; they carry the store's hash tag, so all are in one slot.
local dates = redis.call('SMEMBERS', KEYS[1])
for at = 2, #ARGV do
  local kept = false
  for _, date in ipairs(dates) do
    if redis.call('HEXISTS', ARGV[1] .. date, ARGV[at]) == 1 then
      kept = true
      break
    end
  end
  if not kept then redis.call('HDEL', KEYS[2], ARGV[at]) end
end
return 1
