-- One verification. A phone's keys carry one hash tag, so that a script may touch them all; some are
-- made from others (`sibling`).
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
--
-- Policy: the limits as the store gives them, one JSON object; times in milliseconds.
--   ttl, max_attempts, cooldown, quota (pairs of amount and window), record_only
--   life                     in which a hosted code may be alive, from its reservation on
--   asked                    in which a guess may reach the provider, from its reservation on
--   lockout                  failures, length of the first lock, total

local RECORD_KEPT = HOUR -- a finished verification answers for an hour

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
local function asked_until(record, policy)
  local newest = number(record, 'lost_at')
  for field, at in pairs(record) do
    if string.sub(field, 1, 2) == 'a:' then
      newest = math.max(newest, tonumber(at))
    end
  end
  return newest > 0 and newest + policy.asked or 0
end

-- Until when the hosted route serves this verification alone. The provider keys codes by phone and
-- approves any that is alive, so each of them counts but the approved one, which is refused by its
-- digest. Of several nobody knows which was approved.
local function holds_until(record, policy)
  local codes, dead_at = hosted_codes(record, number(record, 'yes_at'))
  if record.yes_at and codes == 1 then
    dead_at = 0
  end
  return math.max(dead_at, asked_until(record, policy))
end

-- What a caller sees, in the order in which one state hides another.
local function status(record, now, policy)
  local state = record.state
  if state ~= 'pending' and state ~= 'attempts_exhausted' then
    return state
  elseif now >= newest_send(record) + policy.ttl then
    return 'expired'
  elseif state == 'attempts_exhausted' or number(record, 'attempts') >= policy.max_attempts then
    return 'attempts_exhausted'
  end
  return 'pending'
end

-- Keep the record for an hour after it ended. An exhausted one ends with its last guess.
local function keep_record(key, record, now, policy)
  local left = 0
  if status(record, now, policy) == 'pending' then
    left = newest_send(record) + policy.ttl - now
  end
  redis.call('PEXPIRE', key, whole(left + RECORD_KEPT))
end
