-- Spend one SMS of a budget for the UTC day.
-- KEYS  budget: HASH of SMS by day
-- ARGV  offset, send id, 'spend' or 'preview', SMS a day
local now = clock(ARGV[1])
local today = math.floor(now / DAY)
local limit, day = tonumber(ARGV[4]), whole(today)
local spent = tonumber(redis.call('HGET', KEYS[1], day) or '0')
-- Whoever asks again because the answer was lost does so at once.
local seen = KEYS[1] .. ':' .. ARGV[2]
local again = redis.call('GET', seen)
if again then
  return { 'ok', limit - spent, tonumber(again) }
end
if spent >= limit then
  return { 'over', (today + 1) * DAY - now }
end
if ARGV[3] == 'spend' then
  redis.call('SET', seen, day, 'PX', '60000')
  redis.call('HINCRBY', KEYS[1], day, '1')
  redis.call('HDEL', KEYS[1], whole(today - 2))
  redis.call('PEXPIRE', KEYS[1], whole(2 * DAY))
end
return { 'ok', limit - spent - 1, today }
