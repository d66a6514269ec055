-- Spend one of a quota that is no phone's: an address's, a block's, an app's.
-- Needs: base, quota
-- KEYS  quota
-- ARGV  offset, windows, member, 'spend', 'record' (spend it even if there is no room) or 'preview'
local now, windows = clock(ARGV[1]), cjson.decode(ARGV[2])
local member, mode = ARGV[3], ARGV[4]
-- A second run finds what the first spent, and weighs it as the first did: without itself.
local spent = redis.call('ZSCORE', KEYS[1], member) and 1 or 0
local left = room(KEYS[1], now, windows)
local refusal = refusing_quota(KEYS[1], now, windows, spent)
if spent == 0 and (mode == 'record' or (mode == 'spend' and not refusal)) then
  spend(KEYS[1], now, member, windows)
  left = room(KEYS[1], now, windows)
end
if refusal then
  return { 'over', refusal[1], refusal[2], refusal[3] }
end
return { 'ok', left }
