-- Give one SMS back to the day it was taken from, once.
-- KEYS  budget
-- ARGV  offset, send id
local mark = KEYS[1] .. ':' .. ARGV[2] -- see budget
local day = redis.call('GET', mark)
if day then
  redis.call('DEL', mark)
  redis.call('HINCRBY', KEYS[1], day, '-1')
end
return { 'ok' }
