-- Reserve one SMS: all checks together, everything taken or nothing.
-- KEYS  phone, sends, record for a new verification
-- ARGV  offset, send id, new id, app, purpose, phone number, phone digest, ttl, cooldown,
--       max attempts, hold of a hosted code or 0, 'spend', 'record' (the quota counts and does
--       not refuse) or 'preview', quota
local now = clock(ARGV[1])
local send_id, new_id, app, purpose = ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local ttl, cooldown, max_attempts, hold =
  tonumber(ARGV[8]), tonumber(ARGV[9]), tonumber(ARGV[10]), tonumber(ARGV[11])
local phone = read(KEYS[1])
local mine = app .. '|' .. purpose

local id = phone['latest:' .. mine]
local key = id and sibling(KEYS[1], 'v', id)
local record = id and read(key) or {}
local known = record.state ~= nil
local over -- what a quota that only records would have refused
local again = known and record['s:' .. send_id] ~= nil -- the answer to this call was lost

if not again then
  local locked = lock_left(phone, now)
  if locked ~= 0 then
    return { 'phone_locked', locked }
  end
  local wait = known and cooldown_base(record) + cooldown - now or 0
  if wait > 0 then
    return { 'resend_too_soon', wait, id }
  end
  over = refusing_quota(KEYS[2], now, 13)
  if over and ARGV[12] ~= 'record' then
    return { 'quota_exceeded', over[1], over[2], over[3] }
  end
  -- The provider keys codes by phone alone: a second owner's code could redeem the first one's.
  local held = number(phone, 'hold_until') - now
  if hold > 0 and phone.hold and phone.hold ~= mine and held > 0 then
    return { 'purpose_conflict', held }
  end
  if ARGV[12] == 'preview' then
    return { 'ok' }
  end

  if not known or status(record, now, ttl, max_attempts) ~= 'pending' then
    local prior = known and cooldown_base(record) or 0
    id, key = new_id, KEYS[3]
    record = { app = app, purpose = purpose, state = 'pending', attempts = '0' }
    redis.call('HSET', key, 'app', app, 'purpose', purpose, 'phone', ARGV[6], 'pd', ARGV[7],
      'state', 'pending', 'attempts', '0', 'prior', whole(prior))
    redis.call('HSET', KEYS[1], 'latest:' .. mine, id)
  end
  record['s:' .. send_id] = whole(now)
  redis.call('HSET', key, 's:' .. send_id, whole(now))
  spend(KEYS[2], now, send_id, 13)
  if hold > 0 then
    redis.call('HSET', KEYS[1], 'hold', mine, 'hold_until', whole(now + hold))
  end
  keep_record(key, record, now, ttl, max_attempts)
  keep_phone(KEYS[1])
end

local newest = newest_send(record)
return { 'ok', id, now, newest + ttl, newest + cooldown,
  math.max(0, max_attempts - number(record, 'attempts')), room(KEYS[2], now, 13),
  over and 1 or 0 }
