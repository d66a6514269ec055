-- Say how a counted guess came out. A guess is settled once; the first yes of a verification wins.
-- Needs: base, record, failures
-- KEYS  record
-- ARGV  offset, policy, attempt id, 'yes', 'no', 'back' or 'unknown', digests of the code
-- After a yes it answers with the time of the approval.
local now, policy = clock(ARGV[1]), cjson.decode(ARGV[2])
local attempt_id, outcome = ARGV[3], ARGV[4]
local record = read(KEYS[1])
if not record.app then
  return { 'not_found' }
end

local function answer()
  if outcome ~= 'yes' then
    return { outcome, math.max(0, policy.max_attempts - number(record, 'attempts')) }
  elseif record.approved_by == attempt_id then
    return { 'yes', number(record, 'approved_at') }
  end
  return { record.state }
end

local function forget_used(phone_key, phone)
  for field, good_until in pairs(phone) do
    if string.sub(field, 1, 5) == 'used:' and tonumber(good_until) <= now then
      redis.call('HDEL', phone_key, field)
    end
  end
end

local counted_at = tonumber(record['a:' .. attempt_id] or '0')
if counted_at == 0 then -- settled before, and the answer was lost
  return answer()
end
redis.call('HDEL', KEYS[1], 'a:' .. attempt_id)

local phone_key = sibling(KEYS[1], 'p', record.pd)
local phone = read(phone_key)
if outcome == 'no' then
  redis.call('HDEL', KEYS[1], 'unknown')
else
  take_out_failure(phone_key, phone, counted_at, policy.lockout)
end
if outcome == 'unknown' then
  local lost_at = math.max(counted_at, number(record, 'lost_at'))
  redis.call('HSET', KEYS[1], 'unknown', '1', 'lost_at', whole(lost_at))
elseif outcome == 'back' then
  record.attempts = whole(number(record, 'attempts') - 1)
  redis.call('HSET', KEYS[1], 'attempts', record.attempts)
  if record.state == 'pending' then
    keep_record(KEYS[1], record, now, policy)
  end
elseif outcome == 'yes' and record.state == 'pending' then
  forget_used(phone_key, phone)
  local _, dead_at = hosted_codes(record, counted_at)
  for i = 5, #ARGV do -- under each secret: while they are rotated, some instances know only one
    redis.call('HSET', phone_key, 'used:' .. ARGV[i], whole(dead_at))
  end
  redis.call('HSET', KEYS[1], 'yes_at', whole(counted_at))
  approve(KEYS[1], record, phone_key, now, attempt_id, policy)
end
keep_phone(phone_key)
return answer()
