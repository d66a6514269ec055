-- Count a guess before anything is asked; decide it, if the code is one of ours.
-- Needs: base, record, failures
-- KEYS  record (by id) or phone (by number)
-- ARGV  offset, policy, attempt id, app, purpose or '' (by id), digests of the code
local now, policy = clock(ARGV[1]), cjson.decode(ARGV[2])
local attempt_id, app, purpose = ARGV[3], ARGV[4], ARGV[5]

local key = KEYS[1]
if purpose ~= '' then
  local latest = redis.call('HGET', KEYS[1], 'latest:' .. app .. '|' .. purpose)
  if not latest then
    return { 'not_found' }
  end
  key = sibling(KEYS[1], 'v', latest)
end
local record = read(key)
if record.app ~= app or record.state == 'failed' then
  return { 'not_found' }
end
local id = string.match(key, ':v:(.+)$')

local function right()
  return { 'right', id, record.phone, record.purpose, number(record, 'approved_at'),
    newest_send(record) }
end

local lock = 0 -- that this guess starts

local function wrong()
  return { 'wrong_code', id, math.max(0, policy.max_attempts - number(record, 'attempts')), lock }
end

-- Two codes of ours are good: the newest that certainly left, and the newest of the others.
local function good_codes()
  local newest = {}
  for field, value in pairs(record) do
    if string.sub(field, 1, 2) == 'd:' then
      local at, left, digest = string.match(value, '^(%d+):(%d):(.+)$')
      local code = newest[left]
      if not code or tonumber(at) > code.at then
        newest[left] = { at = tonumber(at), digest = digest }
      end
    end
  end
  return newest
end

-- A guess that was compared with a code of ours has been made, whatever the provider says.
local function ask()
  local compared = next(good_codes()) and 1 or 0
  return { 'ok', id, record.phone, record.purpose, record.route or '', number(record, 'unknown'),
    newest_send(record), compared, lock }
end

local before = record['a:' .. attempt_id]
if record.approved_by == attempt_id then -- the answer to this call was lost, as in the next two
  return right()
elseif before then
  return before == '0' and wrong() or ask()
end

local phone_key = sibling(key, 'p', record.pd)
local phone = read(phone_key)
local now_is = status(record, now, policy)
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

local given = {}
for i = 6, #ARGV do
  given[ARGV[i]] = true
end

local function is_good()
  for _, code in pairs(good_codes()) do
    if given[code.digest] then
      return true
    end
  end
  return false
end

if is_good() then
  approve(key, record, phone_key, now, attempt_id, policy)
  return right()
end

-- A hosted code that was approved once may still be good at the provider: a yes would be wrong.
local function used()
  for digest in pairs(given) do
    if number(phone, 'used:' .. digest) > now then
      return true
    end
  end
  return false
end

-- Only the provider knows the code if a hosted route sent it, or may be sending it just now, and it
-- has not died yet: afterwards the provider may hold another verification's.
local function is_providers()
  for field, died in pairs(record) do
    local send_id = string.match(field, '^h:(.+)$')
    if send_id and tonumber(died) > now and (record.hosted == '1' or record['s:' .. send_id]) then
      return true
    end
  end
  return false
end

record.attempts = whole(number(record, 'attempts') + 1)
redis.call('HSET', key, 'attempts', record.attempts)
lock = count_failure(phone_key, phone, now, policy.lockout)
keep_phone(phone_key)
keep_record(key, record, now, policy)
if used() or not is_providers() then
  redis.call('HSET', key, 'a:' .. attempt_id, '0')
  return wrong()
end
redis.call('HSET', key, 'a:' .. attempt_id, whole(now))
return ask()
