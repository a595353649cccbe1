// What an address says of itself before and after it is looked at must be one and the same.
let asked = 0;
const address = { toString() { return asked++ ? 'https://evil.example/' : 'https://allowed.example/'; } };
require('sendHttpRequest')(address, { method: 'POST' }, 'x');
return asked > 1;
