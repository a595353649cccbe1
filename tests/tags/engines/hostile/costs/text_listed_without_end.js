const keys = require('Object').keys;
const long = 'x'.repeat(100000);
for (;;) keys(long);
