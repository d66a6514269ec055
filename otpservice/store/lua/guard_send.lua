-- Weigh one more SMS to a country or a block of 1,000 numbers against its budget of unconfirmed
-- ones, and count it. The rule stands in otpservice/verification/pumping.py.
-- Needs: base
-- KEYS  subject
-- ARGV  offset, send id, 'spend' or 'preview' (writes nothing), '1' enforce or '0' only record,
--       since when there is history: 'own', or milliseconds (0: none is known),
--       the budget: day floor, hour floor, day percent, hour percent, busy hours, peak days,
--       history needed
-- Gives { 'ok', now, since } or
--       { 'over', wait, unconfirmed, threshold, window, enforceable 0 or 1, now, since };
--       counted unless it is a preview, or over, enforceable and enforced.
--
-- Subject  HASH  otp:{tag}:g:<digest>   one country or block; hours and days are numbered from 1970
--   s<hour>, c<hour>   SMS reserved in that hour, and those of them that were confirmed since
--   d<day>             SMS of that UTC day that were confirmed
--   since              when a country's first SMS was reserved; its blocks have that history
-- Mark     STRING otp:{tag}:g:<digest>:<send id>   when that SMS was counted, for a minute: a second
--   run counts nothing and answers as the first
local MARK_KEPT = '60000'
local now = clock(ARGV[1])
local spend, enforce, history_since = ARGV[3] == 'spend', ARGV[4] == '1', ARGV[5]
local budget = { day_floor = tonumber(ARGV[6]), hour_floor = tonumber(ARGV[7]),
  day_percent = tonumber(ARGV[8]), hour_percent = tonumber(ARGV[9]), busy_hours = tonumber(ARGV[10]),
  peak_days = tonumber(ARGV[11]), history = tonumber(ARGV[12]) }
local mark = KEYS[1] .. ':' .. ARGV[2]
local counted_at = spend and redis.call('GET', mark)
if counted_at then
  now = tonumber(counted_at)
end

-- By kind and number, once: each of some sixty looks at a field by its name would build that name.
local held, since = { s = {}, c = {}, d = {} }, 0
local flat = redis.call('HGETALL', KEYS[1])
for i = 1, #flat, 2 do
  local counts, index = held[string.sub(flat[i], 1, 1)], tonumber(string.sub(flat[i], 2))
  if index then
    counts[index] = tonumber(flat[i + 1])
  else
    since = tonumber(flat[i + 1])
  end
end
local sent, confirmed, by_day = held.s, held.c, held.d

local hour, day = math.floor(now / HOUR), math.floor(now / DAY)
if counted_at then -- weigh it as it was weighed, without itself
  sent[hour] = (sent[hour] or 0) - 1
end
local in_sight = HOUR - now % HOUR -- the part of a window's oldest hour that is not over yet

local function confirmed_in(index)
  return confirmed[index] or 0
end

local function unconfirmed_in(index)
  return (sent[index] or 0) - (confirmed[index] or 0)
end

-- Every division is the last step over whole numbers: Python comes to the very same number.
local function within(hours, count)
  local complete = 0
  for index = hour - hours + 1, hour do
    complete = complete + count(index)
  end
  return (complete * HOUR + count(hour - hours) * in_sight) / HOUR
end

local function highest_day()
  local highest = 0
  for index = day - budget.peak_days, day do
    highest = math.max(highest, by_day[index] or 0)
  end
  return highest
end

-- Milliseconds until the budget that does not slide has room, if nobody sends or confirms.
local function wait_for(hours, lasting)
  local newer = 0
  for index = hour - hours, hour do
    newer = newer + unconfirmed_in(index)
  end
  for ahead = 0, hours do
    local oldest = unconfirmed_in(hour + ahead - hours)
    newer = newer - oldest
    local room = lasting - 1 - newer
    if room >= 0 then
      local part = oldest > 0 and math.min(HOUR, math.floor(room * HOUR / oldest)) or HOUR
      return (hour + ahead + 1) * HOUR - part - now
    end
  end
  return (hours + 1) * HOUR
end

local function weigh(hours, lasting, percent)
  local unconfirmed = within(hours, unconfirmed_in)
  local threshold = math.max(lasting, within(hours, confirmed_in) * percent / 100)
  if unconfirmed + 1 > threshold then
    return { wait_for(hours, lasting), math.ceil(unconfirmed), math.floor(threshold), hours * HOUR }
  end
end

local function forget()
  for kind, counts in pairs(held) do
    local oldest = kind == 'd' and day - budget.peak_days or hour - 24
    for index in pairs(counts) do
      if index < oldest then
        redis.call('HDEL', KEYS[1], kind .. whole(index))
      end
    end
  end
end

local highest = highest_day()
local over = weigh(24, math.max(budget.day_floor, highest * budget.day_percent / 100), budget.day_percent)
local over_hour = weigh(1,
  math.max(budget.hour_floor, highest * budget.hour_percent / (100 * budget.busy_hours)),
  budget.hour_percent)
if over_hour and (not over or over_hour[1] > over[1]) then
  over = over_hour
end

local first = since == 0
if first and spend then
  since = now
end
local history = history_since == 'own' and since or tonumber(history_since)
local enforceable = history > 0 and now - history >= budget.history

if spend and not counted_at and not (over and enforceable and enforce) then
  forget()
  redis.call('HINCRBY', KEYS[1], 's' .. whole(hour), '1')
  if first and history_since == 'own' then
    redis.call('HSET', KEYS[1], 'since', whole(since))
  end
  redis.call('PEXPIRE', KEYS[1], whole((budget.peak_days + 1) * DAY))
  redis.call('SET', mark, whole(now), 'PX', MARK_KEPT)
end
if over then
  return { 'over', over[1], over[2], over[3], over[4], enforceable and 1 or 0, now, since }
end
return { 'ok', now, since }
