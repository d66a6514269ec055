-- What is known of the provider's account, and whether it is the caller's turn to ask.
-- KEYS  account, days (both of the tag {balance})
-- ARGV  offset, milliseconds between two calls, 'ask' or 'look'
-- Gives { 'ask' or 'known', amount, currency, age in milliseconds, problem, today, days }; amount,
-- currency and problem may be '', age is then -1.
--
-- Account  HASH  otp:{balance}:account
--   amount, currency, at     what the provider said, and when
--   asked                    when somebody last began to ask: the next waits out the pause
--   problem                  why that failed
--   low                      there while the balance is low and that was told
-- Days     HASH  otp:{balance}:days: SMS by UTC day, numbered from 1970; first: the first of them
local KEPT = 7 * DAY
local now, pause = clock(ARGV[1]), tonumber(ARGV[2])
local account = read(KEYS[1])

-- A time that is still to come was written by another server's clock.
local function due(field)
  local passed = now - number(account, field)
  return passed >= pause or passed < 0
end

local turn = ARGV[3] == 'ask' and due('at') and due('asked')
if turn then
  redis.call('HSET', KEYS[1], 'asked', whole(now))
  redis.call('PEXPIRE', KEYS[1], whole(KEPT))
end
local age = account.at and math.max(0, now - number(account, 'at')) or -1
return { turn and 'ask' or 'known', account.amount or '', account.currency or '', age,
  account.problem or '', math.floor(now / DAY), redis.call('HGETALL', KEYS[2]) }
