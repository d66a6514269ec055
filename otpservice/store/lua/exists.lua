-- How many of some keys there are.
-- KEYS  of one hash tag
-- ARGV  offset
return { 'ok', redis.call('EXISTS', unpack(KEYS)) }
