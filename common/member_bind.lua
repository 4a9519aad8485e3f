#!lua
-- Note that a face is about to be bound to a member: from here on the member's set names it.
-- KEYS  profiles, bindings, the member's faces        ARGV  member_id, "<store>/<face_id>", token, most faces
-- Answers OK, UNKNOWN (there is no such member) or FULL.
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 then return 'UNKNOWN' end
local is_new = redis.call('SISMEMBER', KEYS[3], ARGV[2]) == 0
if is_new and redis.call('SCARD', KEYS[3]) >= tonumber(ARGV[4]) then return 'FULL' end
redis.call('SADD', KEYS[3], ARGV[2])
redis.call('HSET', KEYS[2], ARGV[1], ARGV[3])
return 'OK'
