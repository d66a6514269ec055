-- Say how an SMS that guard_send counted came out: taken back, or confirmed. Not idempotent: the
-- caller settles each SMS once.
-- KEYS  subject
-- ARGV  offset, when it was reserved, 'back' or 'confirmed'
-- Gives { 'ok', now } or { 'gone', now }: its hour is out of sight, nothing was changed.
local now = clock(ARGV[1])
local reserved = math.floor(tonumber(ARGV[2]) / HOUR)
local oldest = math.floor(now / HOUR) - 24
if reserved < oldest then
  return { 'gone', now }
end

-- What the caller knows may be the time of another script or node, a moment off: at the stroke of
-- an hour the SMS stands in the hour beside. An hour never has more confirmed than sent.
for _, aside in ipairs({ 0, -1, 1 }) do
  local hour = reserved + aside
  local sends, confirmed = 's' .. whole(hour), 'c' .. whole(hour)
  local counts = redis.call('HMGET', KEYS[1], sends, confirmed)
  if hour >= oldest and tonumber(counts[1] or '0') > tonumber(counts[2] or '0') then
    if ARGV[3] == 'back' then
      redis.call('HINCRBY', KEYS[1], sends, '-1')
    else
      redis.call('HINCRBY', KEYS[1], confirmed, '1')
      redis.call('HINCRBY', KEYS[1], 'd' .. whole(math.floor(hour / 24)), '1')
    end
    return { 'ok', now }
  end
end
return { 'gone', now }
