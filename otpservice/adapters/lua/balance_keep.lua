-- Keep what the provider said of the account, or why it could not be asked.
-- KEYS  account
-- ARGV  offset, 'said', amount, currency, '1' low or '0'; or offset, 'failed', problem
-- Gives 'fell' or 'rose' to the one caller who has to tell it; else 'same'.
local KEPT = 7 * DAY
local now = clock(ARGV[1])
local was_low = redis.call('HEXISTS', KEYS[1], 'low') == 1
local is_low = was_low
if ARGV[2] == 'said' then
  redis.call('HSET', KEYS[1], 'amount', ARGV[3], 'currency', ARGV[4], 'at', whole(now))
  redis.call('HDEL', KEYS[1], 'problem')
  is_low = ARGV[5] == '1'
else
  redis.call('HSET', KEYS[1], 'problem', ARGV[3])
end
if is_low and not was_low then
  redis.call('HSET', KEYS[1], 'low', '1')
elseif was_low and not is_low then
  redis.call('HDEL', KEYS[1], 'low')
end
redis.call('PEXPIRE', KEYS[1], whole(KEPT))
return { is_low == was_low and 'same' or is_low and 'fell' or 'rose' }
