-- Reserve one SMS: all checks together, everything taken or nothing.
-- Needs: base, record, failures, quota
-- KEYS  phone, sends, record for a new verification
-- ARGV  offset, policy, send id, new id, app, purpose, phone number, phone digest, '1' if a hosted
--       route may send it, digest of our own code ('': no local route may), 'spend' or 'preview'
local now, policy = clock(ARGV[1]), cjson.decode(ARGV[2])
local send_id, new_id, app, purpose = ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local hosted, digest, preview = ARGV[9] == '1', ARGV[10], ARGV[11] == 'preview'
local phone = read(KEYS[1])
local mine = app .. '|' .. purpose

local id = phone['latest:' .. mine]
local key = id and sibling(KEYS[1], 'v', id)
local record = id and read(key) or {}
local known = record.state ~= nil
local over -- what a quota that only records would have refused

local function answer()
  local newest = newest_send(record)
  return { 'ok', id, newest + policy.ttl, newest + policy.cooldown,
    math.max(0, policy.max_attempts - number(record, 'attempts')), room(KEYS[2], now, policy.quota),
    over and 1 or 0, hosted and 1 or 0 }
end

if known and record['s:' .. send_id] then -- the answer to this call was lost
  hosted = record['h:' .. send_id] ~= nil
  return answer()
end

local opt_out = sibling(KEYS[1], 'o', ARGV[8])
if redis.call('EXISTS', opt_out) == 1 then
  redis.call('PEXPIRE', opt_out, whole(OPT_OUT_KEPT))
  return { 'destination_blocked' }
end
local locked = lock_left(phone, now)
if locked ~= 0 then
  return { 'phone_locked', locked }
end
local resend = known and status(record, now, policy) == 'pending'
local holder, held = {}, 0
if hosted and phone.holder and not (resend and phone.holder == id) then
  holder = read(sibling(KEYS[1], 'v', phone.holder))
  held = holds_until(holder, policy) - now
end
if held > 0 and digest ~= '' then
  hosted, held = false, 0 -- by a local route, then
end
local wait = known and cooldown_base(record) + policy.cooldown - now or 0
if held > 0 and owner(holder) == mine then
  wait = math.max(wait, held)
end
if wait > 0 then
  return { 'resend_too_soon', wait, id }
end
over = refusing_quota(KEYS[2], now, policy.quota)
if over and not policy.record_only then
  return { 'quota_exceeded', over[1], over[2], over[3] }
end
if held > 0 then
  return { 'purpose_conflict', held }
end
if preview then
  return { 'ok', hosted and 1 or 0 }
end

if not resend then
  id, key = new_id, KEYS[3]
  record = { app = app, purpose = purpose, state = 'pending' }
  redis.call('HSET', key, 'app', app, 'purpose', purpose, 'phone', ARGV[7], 'pd', ARGV[8],
    'state', 'pending')
  redis.call('HSET', KEYS[1], 'latest:' .. mine, id)
end
record['s:' .. send_id] = whole(now)
redis.call('HSET', key, 's:' .. send_id, whole(now))
if hosted then
  redis.call('HSET', key, 'h:' .. send_id, whole(now + policy.life))
  redis.call('HSET', KEYS[1], 'holder', id)
end
if digest ~= '' then
  redis.call('HSET', key, 'd:' .. send_id, whole(now) .. ':0:' .. digest)
end
spend(KEYS[2], now, send_id, policy.quota)
keep_record(key, record, now, policy)
keep_phone(KEYS[1])
return answer()
