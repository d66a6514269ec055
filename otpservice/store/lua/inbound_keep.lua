-- Keep an incoming SMS, once for each message id.
-- Needs: base
-- KEYS  seen: what the message with this id was; texts: STREAM of what is kept
-- ARGV  offset, fingerprint of sender and wish, milliseconds to remember the id, fields and values
-- Gives 'new', 'again', or 'other': the id was that of another message, nothing was kept.
local TEXTS_KEPT = 30 * DAY
local now = clock(ARGV[1])
local seen = redis.call('GET', KEYS[1])
if seen then
  return { seen == ARGV[2] and 'again' or 'other' }
end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
redis.call('XADD', KEYS[2], 'MAXLEN', '~', '1000', '*', unpack(ARGV, 4))
redis.call('XTRIM', KEYS[2], 'MINID', whole(now - TEXTS_KEPT))
redis.call('PEXPIRE', KEYS[2], whole(TEXTS_KEPT))
return { 'new' }
