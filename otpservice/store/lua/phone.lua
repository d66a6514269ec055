-- What is held for a phone, and lift its lock first where that is asked for.
-- KEYS  phone, sends
-- ARGV  offset, 'unlock' or '', ttl, max attempts, quota
local now = clock(ARGV[1])
local phone = read(KEYS[1])
if ARGV[2] == 'unlock' and next(phone) then
  redis.call('HDEL', KEYS[1], 'run', 'total', 'failed_at', 'lock')
  redis.call('HSET', KEYS[1], 'cleared', whole(now))
  keep_phone(KEYS[1])
end
local answer = { 'ok', lock_left(phone, now), run_of(phone, now), number(phone, 'total'),
  room(KEYS[2], now, 5) }
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
      status(record, now, tonumber(ARGV[3]), tonumber(ARGV[4])) }
  end
end
return answer
