-- Spend one SMS of a budget for the UTC day.
-- Needs: base
-- KEYS  budget: HASH of SMS by day
--       Mark: STRING <budget>:<send id>, the day it was taken from. A second run finds it and takes
--       nothing; budget_back removes it.
-- ARGV  offset, send id, 'spend' or 'preview', SMS a day
local MARK_KEPT = whole(10 * 60000) -- a send is settled within its timeout, 30 s at most
local now = clock(ARGV[1])
local today = math.floor(now / DAY)
local limit, day = tonumber(ARGV[4]), whole(today)
local spent = tonumber(redis.call('HGET', KEYS[1], day) or '0')
local mark = KEYS[1] .. ':' .. ARGV[2]
local again = redis.call('GET', mark)
if again then
  return { 'ok', limit - spent, tonumber(again) }
end
if spent >= limit then
  return { 'over', (today + 1) * DAY - now }
end
if ARGV[3] == 'spend' then
  redis.call('SET', mark, day, 'PX', MARK_KEPT)
  redis.call('HINCRBY', KEYS[1], day, '1')
  redis.call('HDEL', KEYS[1], whole(today - 2))
  redis.call('PEXPIRE', KEYS[1], whole(2 * DAY))
end
return { 'ok', limit - spent - 1, today }
