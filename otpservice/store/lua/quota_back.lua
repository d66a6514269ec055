-- Give one of a quota back.
-- KEYS  quota
-- ARGV  offset, member
redis.call('ZREM', KEYS[1], ARGV[2])
return { 'ok' }
