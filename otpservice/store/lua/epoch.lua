-- Since when this server has had its state: told, and begun where there is none.
-- Needs: base
-- KEYS  epoch
-- ARGV  offset, how long it is kept
local since = redis.call('GET', KEYS[1]) or whole(clock(ARGV[1]))
redis.call('SET', KEYS[1], since, 'PX', ARGV[2])
return { 'since', tonumber(since) }
