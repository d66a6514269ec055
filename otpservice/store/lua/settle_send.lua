-- Say how a reserved SMS came out. A send is settled once; a second time changes nothing.
-- Needs: base, record
-- KEYS  record
-- ARGV  offset, policy, send id, 'sent', 'unknown' or 'back', route, '1' if it is hosted else '0',
--       the provider's name for the SMS
local now, policy = clock(ARGV[1]), cjson.decode(ARGV[2])
local send_id, outcome, route, hosted, message = ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7]
local record = read(KEYS[1])
local reserved_at = tonumber(record['s:' .. send_id])
if not reserved_at then
  return { 'again' }
end
redis.call('HDEL', KEYS[1], 's:' .. send_id)
record['s:' .. send_id] = nil
if outcome == 'back' or hosted ~= '1' then
  redis.call('HDEL', KEYS[1], 'h:' .. send_id) -- the provider made no code
end

local function forget_code(of)
  redis.call('HDEL', KEYS[1], 'd:' .. of)
  record['d:' .. of] = nil
end

local function code_certainly_left()
  local digest = string.match(record['d:' .. send_id] or '', ':([^:]+)$')
  if digest then
    redis.call('HSET', KEYS[1], 'd:' .. send_id, whole(reserved_at) .. ':1:' .. digest)
  end
end

-- An SMS that certainly left retires the codes sent before it, except those on their way.
local function forget_retired_codes()
  for field, value in pairs(record) do
    local of = string.match(field, '^d:(.+)$')
    if of and not record['s:' .. of] and tonumber(string.match(value, '^%d+')) < record.sure then
      redis.call('HDEL', KEYS[1], field)
    end
  end
end

-- The route that certainly sent last, or may have made a code, checks guesses that are not ours.
local function own()
  redis.call('HSET', KEYS[1], 'route', route, 'hosted', hosted)
  record.hosted = hosted
end

if outcome ~= 'back' then
  if reserved_at >= number(record, 'sent') then
    record.sent = whole(reserved_at)
    redis.call('HSET', KEYS[1], 'sent', record.sent)
    redis.call('HDEL', KEYS[1], 'message', 'delivery', 'delivery_at')
    if message ~= '' then
      redis.call('HSET', KEYS[1], 'message', message)
    end
  end
  if hosted == '1' then
    forget_code(send_id) -- ours was never sent
  elseif outcome == 'sent' then
    code_certainly_left()
  end
  record.sure = number(record, 'sure')
  if outcome == 'sent' and reserved_at > record.sure then
    record.sure = reserved_at
    redis.call('HSET', KEYS[1], 'sure', whole(reserved_at))
  end
  forget_retired_codes()
  -- A local code that may not have come leaves the one before it good, a hosted one's as well.
  local claims = outcome == 'sent' or hosted == '1'
  if claims and reserved_at >= number(record, 'owned_at') then
    redis.call('HSET', KEYS[1], 'owned_at', whole(reserved_at))
    own()
  elseif not record.route then
    own()
  end
else
  forget_code(send_id)
  redis.call('ZREM', sibling(KEYS[1], 's', record.pd), send_id)
  if newest_send(record) == 0 then
    redis.call('HSET', KEYS[1], 'ended', whole(now))
    if record.state == 'pending' then
      record.state = 'failed'
      redis.call('HSET', KEYS[1], 'state', 'failed')
    end
  end
  if record.state == 'pending' or record.state == 'failed' then
    keep_record(KEYS[1], record, now, policy)
  end
end
return { 'ok' }
