-- Count a guess before anything is asked.
-- KEYS  record (by id) or phone (by number)
-- ARGV  offset, attempt id, app, purpose or '' (by id), ttl, max attempts,
--       lockout failures, lockout milliseconds, lockout total, digests of the code
local now = clock(ARGV[1])
local attempt_id, app, purpose = ARGV[2], ARGV[3], ARGV[4]
local ttl, max_attempts = tonumber(ARGV[5]), tonumber(ARGV[6])
local lockout = { failures = tonumber(ARGV[7]), length = tonumber(ARGV[8]), total = tonumber(ARGV[9]) }

local key = KEYS[1]
if purpose ~= '' then
  local id = redis.call('HGET', KEYS[1], 'latest:' .. app .. '|' .. purpose)
  if not id then
    return { 'not_found' }
  end
  key = sibling(KEYS[1], 'v', id)
end
local record = read(key)
if record.app ~= app or record.state == 'failed' then
  return { 'not_found' }
end
local id = string.match(key, ':v:(.+)$')
local attempts = number(record, 'attempts')
local answer = { 'ok', id, record.phone, record.purpose, record.route or '', number(record, 'unknown') }
if record['a:' .. attempt_id] then
  return answer -- the answer to this call was lost
end

local phone_key = sibling(key, 'p', record.pd)
local phone = read(phone_key)
local now_is = status(record, now, ttl, max_attempts)
if now_is == 'approved' or now_is == 'canceled' or now_is == 'expired' then
  return { now_is, id }
end
local locked = lock_left(phone, now)
if locked ~= 0 then
  return { 'phone_locked', locked }
end
if now_is == 'attempts_exhausted' then
  return { now_is, id }
end

record.attempts = whole(attempts + 1)
redis.call('HSET', key, 'attempts', record.attempts)
count_failure(phone_key, phone, now, lockout)
keep_phone(phone_key)
keep_record(key, record, now, ttl, max_attempts)
-- A code that was approved once may still be good at the provider: a yes to it would be wrong.
for i = 10, #ARGV do
  if number(phone, 'used:' .. ARGV[i]) > now then
    return { 'wrong_code', id, max_attempts - attempts - 1 }
  end
end
redis.call('HSET', key, 'a:' .. attempt_id, whole(now))
return answer
