let asked = 0;
const key = { toString() { return asked++ ? 'forbidden' : 'allowed'; } };
try {
  require('hmacSha256')('text', key);
} catch (error) {
  return error.message.indexOf('forbidden') >= 0;
}
return asked > 1;
