#!lua
-- Count a face that was too poor to be told apart, at a store that is there.
-- KEYS  incarnation rejections; both of one store
-- ARGV  creation (what its incarnation begins with), then the fields
-- Answers OK; GONE: the store is not this one (any more). Then nothing is changed.
if string.sub(redis.call('GET', KEYS[1]) or '', 1, #ARGV[1]) ~= ARGV[1] then return 'GONE' end
for at = 2, #ARGV do redis.call('HSET', KEYS[2], ARGV[at], 1) end
return 'OK'
