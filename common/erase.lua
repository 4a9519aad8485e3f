#!lua
-- Erase a store's faces and its incarnation, or nothing where that would erase what the caller did not mean.
-- KEYS  incarnation, then every other key of the store, faces first        ARGV  incarnation, 'force' or ''
-- Answers {status, faces}; status OK, OTHER (created again meanwhile) or NOT_EMPTY. No incarnation: begun before.
local present = redis.call('GET', KEYS[1])
if present and present ~= ARGV[1] then return {'OTHER', 0} end
local faces = redis.call('HLEN', KEYS[2])
if faces > 0 and ARGV[2] == '' then return {'NOT_EMPTY', faces} end
redis.call('UNLINK', unpack(KEYS))
return {'OK', faces}
