#!lua
-- Take a face out of a member's set, unless a binding was begun since the caller looked.
-- KEYS  bindings, the member's faces        ARGV  member_id, "<store>/<face_id>", the token that the caller saw or ''
-- Answers 1; 0 where the caller has to look again.
if (redis.call('HGET', KEYS[1], ARGV[1]) or '') ~= ARGV[3] then return 0 end
redis.call('SREM', KEYS[2], ARGV[2])
return 1
