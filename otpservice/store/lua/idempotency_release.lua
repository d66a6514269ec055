-- Forget a call that spent nothing, if the claim to it still holds.
-- KEYS  call
-- ARGV  offset, token
if redis.call('HGET', KEYS[1], 'token') == ARGV[2] then
  redis.call('DEL', KEYS[1])
end
return { 'ok' }
