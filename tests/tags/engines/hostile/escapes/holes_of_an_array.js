// A hole is looked up in the prototypes.
const list = [, 1];
const base = {__proto__: list};
try {
  base.__proto__[0] = 'mine';
  [].concat.prototype[0] = 'mine';
} catch (error) {}
return [,][0] === 'mine' || [, 1].map((one) => one)[0] === 'mine' || ({})[0] === 'mine';
