-- Keep what the provider says of the last SMS, until it is asked again.
-- Needs: base
-- KEYS  record
-- ARGV  offset, the provider's name for the SMS, its word
local SECOND_RUN = 10000 -- the provider is asked less often: the same word so soon is a second run
local now = clock(ARGV[1])
local message, delivery, at = unpack(redis.call('HMGET', KEYS[1], 'message', 'delivery', 'delivery_at'))
local again = delivery == ARGV[3] and now - tonumber(at) < SECOND_RUN
if message == ARGV[2] and not again then
  redis.call('HSET', KEYS[1], 'delivery', ARGV[3], 'delivery_at', whole(now))
end
return { 'ok' }
