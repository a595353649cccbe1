const made = require('Promise').create((resolve) => resolve(1));
return !!made.constructor || !!(async () => 1)().constructor;
