const numbers = [1e300, -1e300, 1 / 0, -1 / 0, 0 / 0, 1e21, -0, 0.5, '7', null, undefined, {}];
const setCookie = require('setCookie');
numbers.forEach((number) => {
  require('setResponseStatus')(number);
  setCookie('a', 'b', {'max-age': number});
  require('sendHttpGet')('https://allowed.example/', {timeout: number});
});
return false;
