-- Give one SMS back to the day it was taken from.
-- KEYS  budget
-- ARGV  offset, day
if tonumber(redis.call('HGET', KEYS[1], ARGV[2]) or '0') > 0 then
  redis.call('HINCRBY', KEYS[1], ARGV[2], '-1')
end
return { 'ok' }
