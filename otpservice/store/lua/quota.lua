-- Spend one of a quota that is no phone's: an address's, a block's, an app's.
-- KEYS  quota
-- ARGV  offset, member, 'spend', 'record' (spend it even if there is no room) or 'preview', quota
local now = clock(ARGV[1])
local member, mode = ARGV[2], ARGV[3]
local mine = redis.call('ZSCORE', KEYS[1], member) and 1 or 0 -- 1: this is a second run
local left = room(KEYS[1], now, 4)
for i = 4, #ARGV, 2 do -- it is weighed as the first was, without itself
  ARGV[i] = whole(tonumber(ARGV[i]) + mine)
end
local refusal = refusing_quota(KEYS[1], now, 4)
if mine == 0 and (mode == 'record' or (mode == 'spend' and not refusal)) then
  spend(KEYS[1], now, member, 4)
  left = room(KEYS[1], now, 4)
end
if refusal then
  return { 'over', refusal[1] - mine, refusal[2], refusal[3] }
end
return { 'ok', left }
