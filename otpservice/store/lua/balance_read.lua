-- What is known of the provider's account, and whether it is the caller's turn to ask.
-- Needs: base
-- KEYS  account, days (both of the tag {balance})
-- ARGV  offset, milliseconds between two calls, 'ask' or 'look', id of this look
-- Gives { 'ask' or 'known', amount, currency, age in milliseconds, problem, today, days }; amount,
-- currency and problem may be '', age is then -1.
--
-- Account  HASH  otp:{balance}:account
--   amount, currency, at     what the provider said, and when
--   asked, asked_by          when a look last began to ask, and its id: the next waits out the pause
--   kept_by, change          id of the look whose answer was kept last, and what balance_keep gave
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

local again = account.asked_by == ARGV[4]
local turn = ARGV[3] == 'ask' and (again or (due('at') and due('asked')))
if turn and not again then
  redis.call('HSET', KEYS[1], 'asked', whole(now), 'asked_by', ARGV[4])
  redis.call('PEXPIRE', KEYS[1], whole(KEPT))
end
local age = account.at and math.max(0, now - number(account, 'at')) or -1
return { turn and 'ask' or 'known', account.amount or '', account.currency or '', age,
  account.problem or '', math.floor(now / DAY), redis.call('HGETALL', KEYS[2]) }
