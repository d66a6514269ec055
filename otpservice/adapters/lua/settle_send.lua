-- Say how a reserved SMS came out. A send is settled once; a second time changes nothing.
-- KEYS  record
-- ARGV  offset, send id, 'kept' (sent or unknown) or 'back', route, ttl, max attempts, hold
local now = clock(ARGV[1])
local send_id, ttl, max_attempts, hold = ARGV[2], tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local record = read(KEYS[1])
local reserved_at = tonumber(record['s:' .. send_id])
if not reserved_at then
  return { 'again' }
end
redis.call('HDEL', KEYS[1], 's:' .. send_id)
record['s:' .. send_id] = nil

if ARGV[3] == 'kept' then
  if reserved_at >= number(record, 'sent') then
    record.sent = whole(reserved_at)
    redis.call('HSET', KEYS[1], 'sent', record.sent, 'route', ARGV[4])
  end
  return { 'ok' }
end

local phone_key = sibling(KEYS[1], 'p', record.pd)
redis.call('ZREM', sibling(KEYS[1], 's', record.pd), send_id)
if record.state == 'pending' and newest_send(record) == 0 then
  record.state = 'failed'
  redis.call('HSET', KEYS[1], 'state', 'failed', 'ended', whole(now))
end
local phone = read(phone_key)
-- A success may have freed the hold meanwhile, and somebody else, or a newer verification, have it.
if is_latest(phone, record, KEYS[1]) and phone.hold == owner(record) then
  local base = cooldown_base(record)
  if base + hold > now then
    redis.call('HSET', phone_key, 'hold_until', whole(base + hold))
  else
    redis.call('HDEL', phone_key, 'hold', 'hold_until')
  end
end
if record.state == 'pending' or record.state == 'failed' then
  keep_record(KEYS[1], record, now, ttl, max_attempts)
end
return { 'ok' }
