#!lua
-- Compare and set one job of the re-keying.
-- KEYS  rekeys        ARGV  face_id, the job as it was read, the job as it shall be ('' = done, remove it)
-- Answers 1, or 0 where the job is not that one any more; then nothing is changed.
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
if ARGV[3] == '' then
  redis.call('HDEL', KEYS[1], ARGV[1])
else
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
end
return 1
