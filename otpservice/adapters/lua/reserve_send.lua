-- Reserve one SMS: all checks together, everything taken or nothing.
-- KEYS  phone, sends, record for a new verification
-- ARGV  offset, send id, new id, app, purpose, phone number, phone digest, ttl, cooldown,
--       max attempts, hold of a hosted code (0: no hosted route), digest of our own code ('': no
--       local route), 'spend' or 'preview', '1' if the quota counts and does not refuse, quota
local now = clock(ARGV[1])
local send_id, new_id, app, purpose = ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local ttl, cooldown, max_attempts, hold =
  tonumber(ARGV[8]), tonumber(ARGV[9]), tonumber(ARGV[10]), tonumber(ARGV[11])
local digest, preview, records, quota = ARGV[12], ARGV[13] == 'preview', ARGV[14] == '1', 15
local phone = read(KEYS[1])
local mine = app .. '|' .. purpose

local id = phone['latest:' .. mine]
local key = id and sibling(KEYS[1], 'v', id)
local record = id and read(key) or {}
local known = record.state ~= nil
local over -- what a quota that only records would have refused
local hosted = hold > 0

local function answer()
  local newest = newest_send(record, 'sent')
  return { 'ok', id, newest + ttl, newest + cooldown,
    math.max(0, max_attempts - number(record, 'attempts')), room(KEYS[2], now, quota),
    over and 1 or 0, hosted and 1 or 0 }
end

local again = known and record['s:' .. send_id]
if again then -- the answer to this call was lost
  hosted = string.sub(again, -1) == '1'
  return answer()
end

local opt_out = sibling(KEYS[1], 'o', ARGV[7])
if redis.call('EXISTS', opt_out) == 1 then
  redis.call('PEXPIRE', opt_out, whole(OPT_OUT_KEPT))
  return { 'destination_blocked' }
end
local locked = lock_left(phone, now)
if locked ~= 0 then
  return { 'phone_locked', locked }
end
local wait = known and cooldown_base(record) + cooldown - now or 0
if wait > 0 then
  return { 'resend_too_soon', wait, id }
end
over = refusing_quota(KEYS[2], now, quota)
if over and not records then
  return { 'quota_exceeded', over[1], over[2], over[3] }
end
local held = number(phone, 'hold_until') - now
if hosted and phone.hold and phone.hold ~= mine and held > 0 then
  if digest == '' then
    return { 'purpose_conflict', held }
  end
  hosted = false -- by a local route, then
end
if preview then
  return { 'ok', hosted and 1 or 0 }
end

if not known or status(record, now, ttl, max_attempts) ~= 'pending' then
  local prior = known and cooldown_base(record) or 0
  local prior_hosted = known and hold_base(record) or 0
  local before = id
  id, key = new_id, KEYS[3]
  record = { app = app, purpose = purpose, state = 'pending' }
  redis.call('HSET', key, 'app', app, 'purpose', purpose, 'phone', ARGV[6], 'pd', ARGV[7],
    'state', 'pending')
  if prior > 0 then
    redis.call('HSET', key, 'prior', whole(prior))
  end
  if prior_hosted > 0 then
    redis.call('HSET', key, 'prior_hosted', whole(prior_hosted), 'before', before)
  end
  redis.call('HSET', KEYS[1], 'latest:' .. mine, id)
end
record['s:' .. send_id] = whole(now) .. (hosted and ':1' or ':0')
redis.call('HSET', key, 's:' .. send_id, record['s:' .. send_id])
if digest ~= '' then
  redis.call('HSET', key, 'd:' .. send_id, whole(now) .. ':' .. digest)
end
spend(KEYS[2], now, send_id, quota)
if hosted then
  redis.call('HSET', KEYS[1], 'hold', mine, 'hold_until', whole(now + hold))
end
keep_record(key, record, now, ttl, max_attempts)
keep_phone(KEYS[1])
return answer()
