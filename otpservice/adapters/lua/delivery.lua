-- Keep what the provider says of the last SMS, until it is asked again.
-- KEYS  record
-- ARGV  offset, the provider's name for the SMS, its word
if redis.call('HGET', KEYS[1], 'message') == ARGV[2] then
  redis.call('HSET', KEYS[1], 'delivery', ARGV[3], 'delivery_at', whole(clock(ARGV[1])))
end
return { 'ok' }
