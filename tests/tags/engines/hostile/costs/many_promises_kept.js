const Promise = require('Promise');
const held = [];
for (;;) held.push(Promise.create(() => {}));
