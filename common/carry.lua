#!lua
-- A face becomes another one's too: it may have been seen at more places, and earlier. Doing it twice changes nothing.
-- KEYS  incarnation faces origins places
-- ARGV  creation (what its incarnation begins with), face_id, first sighting ms ('' = not known), then the places
-- Answers 1; 0 where the store or the face is gone; then nothing is changed.
local incarnation, faces, origins, places = unpack(KEYS)
local face_id = ARGV[2]
if string.sub(redis.call('GET', incarnation) or '', 1, #ARGV[1]) ~= ARGV[1] then return 0 end
if redis.call('HEXISTS', faces, face_id) == 0 then return 0 end
if ARGV[3] ~= '' then
  local known = tonumber(redis.call('HGET', origins, face_id))
  if not known or tonumber(ARGV[3]) < known then redis.call('HSET', origins, face_id, ARGV[3]) end
end
local listed = redis.call('HGET', places, face_id) or ''
for at = 4, #ARGV do
  if not string.find(',' .. listed .. ',', ',' .. ARGV[at] .. ',', 1, true) then
    listed = listed == '' and ARGV[at] or (listed .. ',' .. ARGV[at])
  end
end
if listed ~= '' then redis.call('HSET', places, face_id, listed) end
return 1
