const Promise = require('Promise');
const real = Promise.create(() => {});
let crossed = false;
try {
  real.then.call({ jobs: [] }, () => { crossed = true; });
} catch (error) {}
return crossed;
