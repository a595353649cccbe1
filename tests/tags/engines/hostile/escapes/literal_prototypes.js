// A literal may name its prototype: what it names must not lead further.
const borrowed = [require('getType'), [], '', /x/g, require('Promise').create(() => 1), data.gtmOnSuccess];
return borrowed.some((one) => {
  const made = {__proto__: one};
  try {
    made.leak = 1;
  } catch (error) {}
  return !!made.constructor || !!made.caller || one.leak === 1;
});
