-- Put before every script. A phone's keys carry one hash tag, so a script may touch them all.
--
-- Phone      HASH  otp:{tag}:p:<digest>   state of one phone over all apps and purposes
--   latest:<app>|<purpose>   id of the owner's latest verification
--   holder                   id of the verification whose hosted codes may be alive at the provider
--   used:<digest>            an approved hosted code, refused until then
--   run, total, failed_at    failures in a row: since the last one forgotten, since the last success
--   lock                     locked until then; -1 until unlocked by hand
--   cleared                  when failures were last set to nothing
-- Sends      ZSET  otp:{tag}:s:<digest>   SMS to the phone: send id by time
-- Record     HASH  otp:{tag}:v:<id>       one verification
--   app, purpose, phone, pd
--   state                    pending, approved, canceled, failed; or attempts_exhausted, if it was
--                            canceled then: a guess on its way must not approve it any more
--   route, hosted ('1', '0')  the route that sent last, and whether its provider made the code
--   message                  the provider's name for the last SMS of a local route
--   delivery, delivery_at    what the provider said of it, and when
--   attempts, approved_at, approved_by, unknown (the check before ended so)
--   yes_at                   when the guess was reserved that the provider approved
--   lost_at                  when the newest guess was reserved whose answer was lost
--   sent                     when its last settled send was reserved
--   ended                    when its only send was given back
--   s:<send id>              a send on its way: reserved then
--   h:<send id>              its code may be the provider's, and has died by then at the latest
--   sure, owned_at           when the last send that certainly left was reserved, and the route's last
--   d:<send id>              a code of ours: <reserved at>:<1 once it certainly left, else 0>:<digest>
--   a:<attempt id>           a guess on its way, reserved then; 0: a wrong one that nobody was asked
-- Opt-out    STRING otp:{tag}:o:<digest>  the holder wants no SMS
-- Beside the phones: quotas (ZSET, like Sends) and daily budgets (HASH, SMS by UTC day), each
-- under a tag of its own: on a cluster no script can touch two of these.
-- All times are milliseconds of the server's clock.

local HOUR = 3600000
local DAY = 24 * HOUR
local RECORD_KEPT = HOUR         -- a finished verification answers for an hour
local PHONE_KEPT = 2 * HOUR      -- longer than any record, cooldown or code of a phone lives
local FAILURES_KEPT = 180 * DAY  -- failures in a row, up to LOCKOUT_TOTAL
local OPT_OUT_KEPT = 400 * DAY   -- after its last use
local RUN_FORGOTTEN = 30 * DAY   -- after that long without a failure the first lock is short again
local ASKS_LATE = 5000           -- a guess may leave for the provider that long after it was reserved

local function whole(n)
  return string.format('%.0f', n)
end

local function clock(offset)
  local t = redis.call('TIME')
  return tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000) + tonumber(offset)
end

local function read(key)
  local flat = redis.call('HGETALL', key)
  local hash = {}
  for i = 1, #flat, 2 do
    hash[flat[i]] = flat[i + 1]
  end
  return hash
end

local function number(hash, field)
  return tonumber(hash[field] or '0')
end

-- The key of another kind ('p', 's', 'v') under the same hash tag.
local function sibling(key, kind, name)
  return string.match(key, '^otp:{%x+}:') .. kind .. ':' .. name
end

local function owner(record)
  return record.app .. '|' .. record.purpose
end

-- When the newest send was reserved that was not given back; 0 if there is none.
local function newest_send(record)
  local newest = number(record, 'sent')
  for field, at in pairs(record) do
    if string.sub(field, 1, 2) == 's:' then
      newest = math.max(newest, tonumber(at))
    end
  end
  return newest
end

-- When the newest send was reserved that the cooldown counts from. An approval ends the cooldown.
local function cooldown_base(record)
  return record.state == 'approved' and 0 or newest_send(record)
end

-- Of the hosted codes that may have been alive at a time: how many, and when the last has died.
local function hosted_codes(record, alive_at)
  local codes, dead_at = 0, 0
  for field, died in pairs(record) do
    if string.sub(field, 1, 2) == 'h:' and tonumber(died) > alive_at then
      codes, dead_at = codes + 1, math.max(dead_at, tonumber(died))
    end
  end
  return codes, dead_at
end

-- Until when a guess may be on its way to the provider: it must not meet another's code there.
local function asked_until(record, patience)
  local newest = number(record, 'lost_at')
  for field, at in pairs(record) do
    if string.sub(field, 1, 2) == 'a:' then
      newest = math.max(newest, tonumber(at))
    end
  end
  return newest > 0 and newest + patience + ASKS_LATE or 0
end

-- Until when the hosted route serves this verification alone. The provider keys codes by phone and
-- approves any that is alive, so each of them counts but the approved one, which is refused by its
-- digest. Of several nobody knows which was approved.
local function holds_until(record, patience)
  local codes, dead_at = hosted_codes(record, number(record, 'yes_at'))
  if record.yes_at and codes == 1 then
    dead_at = 0
  end
  return math.max(dead_at, asked_until(record, patience))
end

-- What a caller sees, in the order in which one state hides another.
local function status(record, now, ttl, max_attempts)
  local state = record.state
  if state ~= 'pending' and state ~= 'attempts_exhausted' then
    return state
  elseif now >= newest_send(record) + ttl then
    return 'expired'
  elseif state == 'attempts_exhausted' or number(record, 'attempts') >= max_attempts then
    return 'attempts_exhausted'
  end
  return 'pending'
end

-- Keep the record for an hour after it ended. An exhausted one ends with its last guess.
local function keep_record(key, record, now, ttl, max_attempts)
  local left = 0
  if status(record, now, ttl, max_attempts) == 'pending' then
    left = newest_send(record) + ttl - now
  end
  redis.call('PEXPIRE', key, whole(left + RECORD_KEPT))
end

local function keep_phone(key)
  local total = tonumber(redis.call('HGET', key, 'total') or '0')
  redis.call('PEXPIRE', key, whole(total > 0 and FAILURES_KEPT or PHONE_KEPT))
end

-- Milliseconds the lock still lasts: 0 not locked, -1 until unlocked by hand.
local function lock_left(phone, now)
  local lock = number(phone, 'lock')
  if lock == -1 then
    return -1
  end
  return math.max(0, lock - now)
end

-- Failures in a row towards the next lock.
local function run_of(phone, now)
  if number(phone, 'failed_at') + RUN_FORGOTTEN <= now then
    return 0
  end
  return number(phone, 'run')
end

-- A wrong guess is a failure from the moment it is reserved: a crash must not give it away.
-- Answers with the milliseconds of the lock it starts: 0 none, -1 until unlocked by hand.
local function count_failure(key, phone, now, lockout)
  local run = run_of(phone, now) + 1
  local total = number(phone, 'total') + 1
  redis.call('HSET', key, 'run', whole(run), 'total', whole(total), 'failed_at', whole(now))
  if lockout.total > 0 and total >= lockout.total then
    redis.call('HSET', key, 'lock', '-1')
    return -1
  elseif run % lockout.failures == 0 then
    local length = math.min(lockout.length * 2 ^ math.min(run / lockout.failures - 1, 30), DAY)
    redis.call('HSET', key, 'lock', whole(now + length))
    return length
  end
  return 0
end

-- Take a failure out again, and with it the lock that it started; nothing if a success or an
-- unlock came after it was counted, for that took it out already.
local function take_out_failure(key, phone, counted_at, lockout)
  if counted_at <= number(phone, 'cleared') then
    return
  end
  local run = math.max(0, number(phone, 'run') - 1)
  local total = math.max(0, number(phone, 'total') - 1)
  redis.call('HSET', key, 'run', whole(run), 'total', whole(total))
  local lock = number(phone, 'lock')
  local by_hand = lock == -1 and total < lockout.total
  local timed = lock > 0 and (run + 1) % lockout.failures == 0
  if by_hand or timed then
    redis.call('HDEL', key, 'lock')
  end
end

-- Approve a pending verification: failures are forgotten, and it is over.
local function approve(key, record, phone_key, now, attempt_id, ttl, max_attempts)
  record.state, record.approved_at = 'approved', whole(now)
  redis.call('HSET', key, 'state', 'approved', 'approved_at', whole(now), 'approved_by', attempt_id)
  redis.call('HDEL', phone_key, 'run', 'total', 'failed_at', 'lock')
  redis.call('HSET', phone_key, 'cleared', whole(now))
  keep_record(key, record, now, ttl, max_attempts)
  keep_phone(phone_key)
end

-- Quotas are pairs of amount and window among a script's arguments, from the index `first` on;
-- the sorted set at `key` holds what was spent, by time.

local function room(key, now, first)
  local left = -1
  for i = first, #ARGV, 2 do
    local since = '(' .. whole(now - tonumber(ARGV[i + 1]))
    local free = math.max(0, tonumber(ARGV[i]) - redis.call('ZCOUNT', key, since, '+inf'))
    if left == -1 or free < left then
      left = free
    end
  end
  return left
end

-- Of the pairs that refuse the one that does so longest: amount, window, milliseconds to wait.
local function refusing_quota(key, now, first)
  local found
  for i = first, #ARGV, 2 do
    local amount, window = tonumber(ARGV[i]), tonumber(ARGV[i + 1])
    local since = '(' .. whole(now - window)
    local over = redis.call('ZCOUNT', key, since, '+inf') - amount
    if over >= 0 then
      local leaving =
        redis.call('ZRANGEBYSCORE', key, since, '+inf', 'WITHSCORES', 'LIMIT', whole(over), '1')
      local wait = tonumber(leaving[2]) + window - now
      if not found or wait > found[3] then
        found = { amount, window, wait }
      end
    end
  end
  return found
end

local function spend(key, now, member, first)
  local longest = 0
  for i = first, #ARGV, 2 do
    longest = math.max(longest, tonumber(ARGV[i + 1]))
  end
  if longest > 0 then
    redis.call('ZREMRANGEBYSCORE', key, '-inf', whole(now - longest))
    redis.call('ZADD', key, whole(now), member)
    redis.call('PEXPIRE', key, whole(longest))
  end
end
