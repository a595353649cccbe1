// What a template after a hostile one would notice, of nearly everything that there is.
if (data.honest) {
  const said = [];
  const say = (act) => { try { said.push(require('JSON').stringify(act())); } catch (error) { said.push('' + error); } };
  say(() => ['b', 'a', 'c'].sort().map((one) => one + 1).join('-').split('-').concat([3, , 1]));
  say(() => 'a1b2'.replace(/[0-9]/g, (one) => one * 2) + 'x'.padStart(3, 'ab') + ' y '.trim().toUpperCase());
  say(() => [...(function* () { yield 1; yield* [2, 3]; })(), ...'ab', ...'xx'.matchAll(/x/g)]);
  say(() => ({ ...{ a: 1, toString: 2 }, ...[4] }));
  say(() => { class A { #p = 1; get p() { return this.#p; } } return new A().p + typeof A.constructor; });
  say(() => null.x);
  say(() => require('parseUrl')('https://a.example/?b=1#c'));
  say(() => require('sha256Sync')('a') + require('toBase64')('a') + require('encodeUriComponent')('\u00e4'));
  say(() => require('testRegex')(require('createRegex')('^a+$'), 'aaa'));
  say(() => [require('getAllEventData')(), require('getRequestHeader')('x'), require('getTimestampMillis')()]);
  say(() => require('templateDataStorage').getItemCopy('a'));
  say(() => require('generateRandom')(1, 1000));
  say(() => ((...given) => given.length)(...[1, 2], ...[data]) + `${1}${[2]}`);
  require('Promise').create((done) => done(1)).then((one) => require('logToConsole')('heard', one));
  require('sendHttpRequest')('https://a.example/', {});
  return said;
}
