const remove = require('Object').delete;
const text = 'a';
[[], (() => 1), {}, require('JSON'), require].forEach((one) => {
  ['map', 'call', 'parse', 'hasOwnProperty', 'toString'].forEach((name) => {
    try {
      remove(one, name);
      remove(one[name], 'call');
    } catch (error) {}
  });
});
return !([].map && (() => 1).call && ({}).hasOwnProperty && require('JSON').parse && text.toString);
