-- SMS or guesses in sliding windows. `windows` is a list of pairs, amount and milliseconds; the
-- sorted set at `key` holds what was spent, by time.

-- What is left by the tightest window; -1 if there is none.
local function room(key, now, windows)
  local left = -1
  for _, window in ipairs(windows) do
    local since = '(' .. whole(now - window[2])
    local free = math.max(0, window[1] - redis.call('ZCOUNT', key, since, '+inf'))
    if left == -1 or free < left then
      left = free
    end
  end
  return left
end

-- Of the windows that are full the one that stays so longest: amount, window, milliseconds to wait.
-- Of what was spent `extra` does not count.
local function refusing_quota(key, now, windows, extra)
  local found
  for _, window in ipairs(windows) do
    local amount, length = window[1] + (extra or 0), window[2]
    local since = '(' .. whole(now - length)
    local over = redis.call('ZCOUNT', key, since, '+inf') - amount
    if over >= 0 then
      local leaving =
        redis.call('ZRANGEBYSCORE', key, since, '+inf', 'WITHSCORES', 'LIMIT', whole(over), '1')
      local wait = tonumber(leaving[2]) + length - now
      if not found or wait > found[3] then
        found = { window[1], length, wait }
      end
    end
  end
  return found
end

local function spend(key, now, member, windows)
  local longest = 0
  for _, window in ipairs(windows) do
    longest = math.max(longest, window[2])
  end
  if longest > 0 then
    redis.call('ZREMRANGEBYSCORE', key, '-inf', whole(now - longest))
    redis.call('ZADD', key, whole(now), member)
    redis.call('PEXPIRE', key, whole(longest))
  end
end
