-- Count one SMS that was sent.
-- Needs: base
-- KEYS  account, days
--       Mark: STRING <days>:<send id>, for a minute: a second run counts nothing.
-- ARGV  offset, send id
-- Gives { 'ok', 1 if the balance is low, else 0 }.
local IN_SIGHT = 7 -- complete days before today
local today = math.floor(clock(ARGV[1]) / DAY)
local low = redis.call('HEXISTS', KEYS[1], 'low')
if not redis.call('SET', KEYS[2] .. ':' .. ARGV[2], '1', 'NX', 'PX', '60000') then
  return { 'ok', low }
end
for _, field in ipairs(redis.call('HKEYS', KEYS[2])) do
  local day = tonumber(field)
  if day and day < today - IN_SIGHT then
    redis.call('HDEL', KEYS[2], field)
  end
end
redis.call('HSETNX', KEYS[2], 'first', whole(today))
redis.call('HINCRBY', KEYS[2], whole(today), '1')
redis.call('PEXPIRE', KEYS[2], whole((IN_SIGHT + 1) * DAY))
return { 'ok', low }
