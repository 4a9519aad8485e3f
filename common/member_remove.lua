#!lua
-- Remove a member that no face is bound to.
-- KEYS  profiles, bindings, the member's faces        ARGV  member_id
-- Answers 1; 0 where it still has faces. Then nothing is changed.
if redis.call('EXISTS', KEYS[3]) == 1 then return 0 end
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('HDEL', KEYS[2], ARGV[1])
return 1
