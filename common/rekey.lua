#!lua
-- Keep a person's visits at this store under another name, joined with what is there. Doing it twice changes nothing.
-- KEYS  days firsts        ARGV  old person, new person, window ms, prefix of the visits' keys
-- The visits' keys are made here from the days; they carry the store's hash tag, so all are in one slot.
local days, firsts = unpack(KEYS)
local old, new, window = ARGV[1], ARGV[2], tonumber(ARGV[3])
for _, date in ipairs(redis.call('SMEMBERS', days)) do
  local key = ARGV[4] .. date
  local moved = redis.call('HGET', key, old)
  if moved then
    local pieces = {}
    for from, to in string.gmatch(moved .. ';' .. (redis.call('HGET', key, new) or ''), '(%d+)-(%d+)') do
      pieces[#pieces + 1] = {tonumber(from), tonumber(to)}
    end
    table.sort(pieces, function(one, other) return one[1] < other[1] end)
    local joined, written = {}, {}
    for _, piece in ipairs(pieces) do
      local last = joined[#joined]
      if last and piece[1] - last[2] <= window then last[2] = math.max(last[2], piece[2])
      else joined[#joined + 1] = piece end
    end
    for _, piece in ipairs(joined) do written[#written + 1] = string.format('%.0f-%.0f', piece[1], piece[2]) end
    redis.call('HSET', key, new, table.concat(written, ';'))
    redis.call('HDEL', key, old)
  end
end
local first = tonumber(redis.call('HGET', firsts, old))
if first then
  local known = tonumber(redis.call('HGET', firsts, new))
  if not known or first < known then redis.call('HSET', firsts, new, string.format('%.0f', first)) end
  redis.call('HDEL', firsts, old)
end
return 1
