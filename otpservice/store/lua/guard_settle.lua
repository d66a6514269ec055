-- Say how an SMS that guard_send counted came out: taken back, or confirmed, or not confirmed after
-- all. A second run within a minute changes nothing; otherwise the caller settles each SMS once.
-- Needs: base
-- KEYS  subject
-- ARGV  offset, id of the send or of the guess, when the SMS was reserved,
--       'back', 'confirmed' or 'unconfirmed'
-- Gives { 'ok', now, the hour it was counted in } or { 'gone', now }: its hour is out of sight, or
-- has none to settle; nothing was changed.
--
-- Mark     STRING <subject>:<what came out>:<id>   the hour it was counted in, for a minute
local MARK_KEPT = '60000'
local now = clock(ARGV[1])
local outcome = ARGV[4]
local mark = KEYS[1] .. ':' .. outcome .. ':' .. ARGV[2]
local done = redis.call('GET', mark)
if done then
  return { 'ok', now, tonumber(done) }
end
local reserved = math.floor(tonumber(ARGV[3]) / HOUR)
local oldest = math.floor(now / HOUR) - 24
if reserved < oldest then
  return { 'gone', now }
end

-- What the caller knows may be the time of another script or node, a moment off: at the stroke of
-- an hour the SMS stands in the hour beside. An hour never has more confirmed than sent.
local by = outcome == 'confirmed' and 1 or -1
for _, aside in ipairs({ 0, -1, 1 }) do
  local hour = reserved + aside
  local sends, confirmed = 's' .. whole(hour), 'c' .. whole(hour)
  local counts = redis.call('HMGET', KEYS[1], sends, confirmed)
  local sure = tonumber(counts[2] or '0')
  local open = tonumber(counts[1] or '0') - sure
  if hour >= oldest and (outcome == 'unconfirmed' and sure or open) > 0 then
    if outcome == 'back' then
      redis.call('HINCRBY', KEYS[1], sends, by)
    else
      redis.call('HINCRBY', KEYS[1], confirmed, by)
      redis.call('HINCRBY', KEYS[1], 'd' .. whole(math.floor(hour / 24)), by)
    end
    redis.call('SET', mark, whole(hour * HOUR), 'PX', MARK_KEPT)
    return { 'ok', now, hour * HOUR }
  end
end
return { 'gone', now }
