-- Keep what the provider said of the account, or why it could not be asked.
-- Needs: base
-- KEYS  account
-- ARGV  offset, id of the look that asked, then 'said', amount, currency, '1' low or '0';
--       or 'failed', problem
-- Gives 'fell' or 'rose' to the one caller who has to log it; else 'same'. See balance_read.
local KEPT = 7 * DAY
if redis.call('HGET', KEYS[1], 'kept_by') == ARGV[2] then
  return { redis.call('HGET', KEYS[1], 'change') }
end
local now = clock(ARGV[1])
local was_low = redis.call('HEXISTS', KEYS[1], 'low') == 1
local is_low = was_low
if ARGV[3] == 'said' then
  redis.call('HSET', KEYS[1], 'amount', ARGV[4], 'currency', ARGV[5], 'at', whole(now))
  redis.call('HDEL', KEYS[1], 'problem')
  is_low = ARGV[6] == '1'
else
  redis.call('HSET', KEYS[1], 'problem', ARGV[4])
end
if is_low and not was_low then
  redis.call('HSET', KEYS[1], 'low', '1')
elseif was_low and not is_low then
  redis.call('HDEL', KEYS[1], 'low')
end
local change = is_low == was_low and 'same' or is_low and 'fell' or 'rose'
redis.call('HSET', KEYS[1], 'kept_by', ARGV[2], 'change', change)
redis.call('PEXPIRE', KEYS[1], whole(KEPT))
return { change }
