-- What is held for a phone, and lift its lock first where that is asked for.
-- Needs: base, record, failures, quota
-- KEYS  phone, sends
-- ARGV  offset, policy, 'unlock' or ''
local now, policy = clock(ARGV[1]), cjson.decode(ARGV[2])
local phone = read(KEYS[1])
if ARGV[3] == 'unlock' and (phone.total or phone.lock) then
  redis.call('HDEL', KEYS[1], 'run', 'total', 'failed_at', 'lock')
  redis.call('HSET', KEYS[1], 'cleared', whole(now))
  keep_phone(KEYS[1])
end
local answer = { 'ok', lock_left(phone, now), run_of(phone, now), number(phone, 'total'),
  room(KEYS[2], now, policy.quota) }
local owners = {}
for field in pairs(phone) do
  if string.sub(field, 1, 7) == 'latest:' then
    owners[#owners + 1] = field
  end
end
table.sort(owners)
for _, field in ipairs(owners) do
  local id = phone[field]
  local record = read(sibling(KEYS[1], 'v', id))
  if record.app then
    answer[#answer + 1] = { id, record.app, record.purpose,
      status(record, now, policy) }
  end
end
return answer
