-- Read a verification, or cancel it first where that is possible.
-- KEYS  record
-- ARGV  offset, app, ttl, max attempts, cooldown, 'cancel' or '', quota
local now = clock(ARGV[1])
local ttl, max_attempts, cooldown = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local record = read(KEYS[1])
if record.app ~= ARGV[2] then
  return { 'not_found' }
end
local before = status(record, now, ttl, max_attempts)
if ARGV[6] == 'cancel' and (before == 'pending' or before == 'attempts_exhausted') then
  record.state = before == 'pending' and 'canceled' or before
  redis.call('HSET', KEYS[1], 'state', record.state)
  keep_record(KEYS[1], record, now, ttl, max_attempts)
end
local newest = newest_send(record)
local expires_at = newest > 0 and newest + ttl or number(record, 'ended')
local resend_at = cooldown_base(record) + cooldown
if record.state == 'approved' then
  resend_at = number(record, 'approved_at') -- approval ends the cooldown
elseif newest == 0 then
  resend_at = math.max(number(record, 'ended'), resend_at)
end
return { 'ok', before, record.purpose, record.phone, expires_at, resend_at,
  math.max(0, max_attempts - number(record, 'attempts')), number(record, 'approved_at'),
  room(sibling(KEYS[1], 's', record.pd), now, 7), record.route or '', record.message or '',
  record.delivery or '', now - number(record, 'delivery_at') }
