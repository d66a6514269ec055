-- Claim a call, or say what has become of it.
-- KEYS  call: HASH of fingerprint, and token while it runs, then status and id
-- ARGV  offset, fingerprint, token, lease in milliseconds
local fingerprint, token, status, id =
  unpack(redis.call('HMGET', KEYS[1], 'fingerprint', 'token', 'status', 'id'))
if not fingerprint then
  redis.call('HSET', KEYS[1], 'fingerprint', ARGV[2], 'token', ARGV[3])
  redis.call('PEXPIRE', KEYS[1], ARGV[4])
  return { 'claimed' }
elseif fingerprint ~= ARGV[2] then
  return { 'mismatch' }
elseif token == ARGV[3] then -- claimed before, and the answer was lost
  return { 'claimed' }
elseif token then
  return { 'in_progress', redis.call('PTTL', KEYS[1]) }
end
return { 'finished', status, id }
