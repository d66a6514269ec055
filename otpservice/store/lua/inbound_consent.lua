-- Whether the holder of a phone wants no SMS: say so, or do what one of their messages asks.
-- Needs: base
-- KEYS  opt-out: STRING otp:{tag}:o:<digest>, there if the holder said STOP; message (not for 'ask')
-- ARGV  offset, 'stop', 'start' or 'ask', milliseconds to remember the message (not for 'ask')
-- Gives 'out' or 'in'. A message delivered again must not undo what a later one asked for.
if ARGV[2] ~= 'ask' and redis.call('SET', KEYS[2], '1', 'NX', 'PX', ARGV[3]) then
  if ARGV[2] == 'start' then
    redis.call('DEL', KEYS[1])
  else
    redis.call('SET', KEYS[1], '1', 'PX', whole(OPT_OUT_KEPT))
  end
end
return { redis.call('PEXPIRE', KEYS[1], whole(OPT_OUT_KEPT)) == 1 and 'out' or 'in' }
