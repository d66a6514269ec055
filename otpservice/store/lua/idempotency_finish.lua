-- Keep how a call came out, if the claim to it still holds.
-- KEYS  call
-- ARGV  offset, token, status, id, milliseconds to keep it
if redis.call('HGET', KEYS[1], 'token') == ARGV[2] then
  redis.call('HSET', KEYS[1], 'status', ARGV[3], 'id', ARGV[4])
  redis.call('HDEL', KEYS[1], 'token')
  redis.call('PEXPIRE', KEYS[1], ARGV[5])
end
return { 'ok' }
