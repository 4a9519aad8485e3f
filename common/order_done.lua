#!lua
-- Forget that a store shall be moved, unless it shall be moved elsewhere by now.
-- KEYS  moves leader        ARGV  store, shard, the lease's token ('' = not asked by the leader)
-- Answers 1; 0 where that is not the order any more; -1 where the lease is another's by now.
if ARGV[3] ~= '' and redis.call('GET', KEYS[2]) ~= ARGV[3] then return -1 end
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
return redis.call('HDEL', KEYS[1], ARGV[1])
