-- Keep how a call came out, if the claim to it still holds.
-- KEYS  call
-- ARGV  token, status, id, milliseconds to keep it
if redis.call('HGET', KEYS[1], 'token') == ARGV[1] then
  redis.call('HSET', KEYS[1], 'status', ARGV[2], 'id', ARGV[3])
  redis.call('HDEL', KEYS[1], 'token')
  redis.call('PEXPIRE', KEYS[1], ARGV[4])
end
