-- Claim a call, or say what has become of it.
-- KEYS  call: HASH of fingerprint, and token while it runs, then status and id
-- ARGV  fingerprint, token, lease in milliseconds
local fingerprint, token, status, id =
  unpack(redis.call('HMGET', KEYS[1], 'fingerprint', 'token', 'status', 'id'))
if not fingerprint then
  redis.call('HSET', KEYS[1], 'fingerprint', ARGV[1], 'token', ARGV[2])
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
  return { 'claimed' }
elseif fingerprint ~= ARGV[1] then
  return { 'mismatch' }
elseif token == ARGV[2] then -- claimed before, and the answer was lost
  return { 'claimed' }
elseif token then
  return { 'in_progress', redis.call('PTTL', KEYS[1]) }
end
return { 'finished', status, id }
