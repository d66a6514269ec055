-- The last texts that came in, newest first.
-- KEYS  texts
-- ARGV  offset, how many
return { 'ok', redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', ARGV[2]) }
