-- Read a verification, or cancel it first where that is possible.
-- Needs: base, record, quota
-- KEYS  record
-- ARGV  offset, policy, app, 'cancel' or ''
local now, policy = clock(ARGV[1]), cjson.decode(ARGV[2])
local record = read(KEYS[1])
if record.app ~= ARGV[3] then
  return { 'not_found' }
end
local before = status(record, now, policy)
if ARGV[4] == 'cancel' and (before == 'pending' or before == 'attempts_exhausted') then
  record.state = before == 'pending' and 'canceled' or before
  redis.call('HSET', KEYS[1], 'state', record.state)
  keep_record(KEYS[1], record, now, policy)
end
local newest = newest_send(record)
local expires_at = newest > 0 and newest + policy.ttl or number(record, 'ended')
local resend_at = cooldown_base(record) + policy.cooldown
if record.state == 'approved' then
  resend_at = number(record, 'approved_at') -- approval ends the cooldown
elseif newest == 0 then
  resend_at = math.max(number(record, 'ended'), resend_at)
end
return { 'ok', before, record.purpose, record.phone, expires_at, resend_at,
  math.max(0, policy.max_attempts - number(record, 'attempts')), number(record, 'approved_at'),
  room(sibling(KEYS[1], 's', record.pd), now, policy.quota), record.route or '', record.message or '',
  record.delivery or '', now - number(record, 'delivery_at') }
