// A trace may name lines, never code or values.
try {
  require('parseUrl').call(null, { toString() { throw 'x'; } });
  null.x;
} catch (error) {
  return typeof error.stack === 'string' && /secret|policy|granted/.test(error.stack);
}
return false;
