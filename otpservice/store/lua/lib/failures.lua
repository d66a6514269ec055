-- Failures in a row on one phone, over all its verifications, and the locks they start.
-- Needs record.

local PHONE_KEPT = 2 * HOUR      -- longer than any record, cooldown or code of a phone lives
local FAILURES_KEPT = 180 * DAY  -- failures in a row, up to the lock without an end
local RUN_FORGOTTEN = 30 * DAY   -- after that long without a failure the first lock is short again

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
local function approve(key, record, phone_key, now, attempt_id, policy)
  record.state, record.approved_at, record.approved_by = 'approved', whole(now), attempt_id
  redis.call('HSET', key, 'state', 'approved', 'approved_at', whole(now), 'approved_by', attempt_id)
  redis.call('HDEL', phone_key, 'run', 'total', 'failed_at', 'lock')
  redis.call('HSET', phone_key, 'cleared', whole(now))
  keep_record(key, record, now, policy)
  keep_phone(phone_key)
end
