-- Give one of a quota back.
-- KEYS  quota
-- ARGV  offset, member
return { 'ok', redis.call('ZREM', KEYS[1], ARGV[2]) }
