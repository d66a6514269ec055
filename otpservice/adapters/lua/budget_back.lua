-- Give one SMS back to the day it was taken from.
-- KEYS  budget
-- ARGV  offset, send id, day
redis.call('DEL', KEYS[1] .. ':' .. ARGV[2])
if tonumber(redis.call('HGET', KEYS[1], ARGV[3]) or '0') > 0 then
  redis.call('HINCRBY', KEYS[1], ARGV[3], '-1')
end
return { 'ok' }
